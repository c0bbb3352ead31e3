"""A checkpoint: one safetensors file, its tensors beside JSON in the header. No pickle anywhere.

A file says whose it is: cell, versions, ranks, kind of device. One that is not ours, or not
whole, is refused with a sentence: going on from it would not be the same run.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from robustlr.errors import DataError
from robustlr.records import write_atomic

_FORMAT = "1"
_HEADER, _CHECKSUM = "robustlr", "crc32"


def write_checkpoint(
    path: Path, identity: Mapping[str, str], values: Any, tensors: dict[str, Tensor]
) -> None:
    """Whole or not at all: the one before stays until this one is there. Raises StorageError.

    values: JSON-ready. tensors: contiguous, on the host.
    """
    header = json.dumps({"format": _FORMAT, **identity, "values": values})
    checksum = str(_checksum(header, tensors))
    write_atomic(path, save(tensors, {_HEADER: header, _CHECKSUM: checksum}))


def read_checkpoint(path: Path, identity: Mapping[str, str]) -> tuple[Any, dict[str, Tensor]]:
    """(values, tensors). Raises DataError for a file that is damaged or another run's."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        header = json.loads(metadata[_HEADER])
        tensors = load(path.read_bytes())
        if str(_checksum(metadata[_HEADER], tensors)) != metadata[_CHECKSUM]:
            raise DataError(f"{path}: is damaged (its checksum differs)")
        values = header.pop("values")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path}: is damaged, or no checkpoint") from error
    for name, ours in {"format": _FORMAT, **identity}.items():
        theirs = header.get(name)
        if theirs != ours:
            raise DataError(f"{path}: is of another run ({name} {theirs}, here {ours})")
    return values, tensors


def _checksum(header: str, tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 over the header and every tensor: name, shape, dtype, bytes."""
    sum_ = zlib.crc32(header.encode())
    for name, tensor in sorted(tensors.items()):
        sum_ = zlib.crc32(f"{name} {list(tensor.shape)} {tensor.dtype}".encode(), sum_)
        sum_ = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, sum_)
    return sum_
