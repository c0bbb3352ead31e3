"""A corpus as tokens, made once for all processes and runs of this machine.

The file is named by the hash of everything that decides what is in it: every text of every
split, and the tokenizer or the way it is trained. One process makes it, the others wait.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor

from robustlr.errors import DataError, StorageError
from robustlr.files import write_atomic
from robustlr.workloads.base import Split
from robustlr.workloads.corpus import Corpus
from robustlr.workloads.tokenizer import library_version, read_tokenizer, train_tokenizer

_SPLITS: tuple[Split, ...] = ("train", "valid", "test")
_FORMAT = 1  # to be raised where the same text shall give other tokens


@dataclass(frozen=True)
class Tokens:
    """parts: the tokens of each split, int32. version: which text and tokenizer, in words."""

    parts: Mapping[str, Tensor]
    version: str


@lru_cache(maxsize=2)  # cells of a worker share their data
def tokenised(corpus: Corpus, tokenizer: str | None, size: int) -> Tokens:
    """The tokens of a corpus.

    tokenizer: folder or file of one, or None: train one of `size` tokens on the training split.
    Raises DataError as the corpus and the tokenizer do, and for a split without any text.
    """
    given = None if tokenizer is None else read_tokenizer(tokenizer)
    how = given.json if given else json.dumps([size, library_version()])
    key = _hash(corpus, how)
    file = _folder() / f"{key}.safetensors"
    parts = _read(file)
    if parts is None:
        with FileLock(file.with_suffix(".lock")):
            parts = _read(file)
            if parts is None:
                made = given or train_tokenizer(corpus.texts("train"), size)
                parts = {
                    split: torch.from_numpy(made.encode(corpus.texts(split))) for split in _SPLITS
                }
                data = safetensors.torch.save(parts, {"tokenizer": made.json})
                write_atomic(file, data)
    version = f"{corpus.name}: {', '.join(f'{len(parts[s]):,} {s}' for s in _SPLITS)} tokens"
    return Tokens(parts, f"{version}, sha256 {key}")


def _hash(corpus: Corpus, how: str) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, how]).encode())
    for split in _SPLITS:
        digest.update(split.encode())
        size = 0
        for text in corpus.texts(split):
            data = text.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
            size += len(data)
        if not size:
            raise DataError(f"{corpus.name}, {split} split: there is no text, every row is empty")
    return digest.hexdigest()[:16]


def _read(file: Path) -> dict[str, Tensor] | None:
    """None where there is no file, or a damaged one, which is made again."""
    try:
        loaded: Any = safetensors.torch.load_file(file)
        return {split: loaded[split] for split in _SPLITS}
    except (OSError, KeyError, safetensors.SafetensorError):
        return None


def _folder() -> Path:
    own, system = os.environ.get("ROBUSTLR_CACHE"), os.environ.get("XDG_CACHE_HOME")
    folder = Path(own) if own else Path(system or Path.home() / ".cache") / "robustlr"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "cannot be written to"
    except OSError as error:
        reason = f"cannot be made: {error.strerror}"
    if reason:
        raise StorageError(f"{folder}: {reason}; ROBUSTLR_CACHE names another folder for tokens")
    return folder
