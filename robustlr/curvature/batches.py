"""The first examples of a batch, whatever containers it is made of."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor

from robustlr.errors import SpecError, WorkloadError

Batch = TypeVar("Batch")


def batch_size(batch: Any) -> int:
    """Examples in `batch`: the leading dimension of its first tensor that has one."""
    for tensor in _tensors(batch):
        if tensor.ndim:
            return tensor.shape[0]
    raise WorkloadError(f"the batch ({type(batch).__name__}) holds no tensor of examples")


def leading_examples(batch: Batch, fraction: float) -> Batch:
    """The first round(fraction·B) of the B examples of `batch`, at least one.

    Every tensor of leading dimension B is cut, as a view; anything else (a scalar, a mask of
    another shape, a string) is passed on. Containers keep their type.

    >>> import torch
    >>> {k: v.tolist() for k, v in leading_examples({"x": torch.arange(8)}, 0.25).items()}
    {'x': [0, 1]}
    """
    if not 0.0 < fraction <= 1.0:
        raise SpecError(f"batch_fraction must be in (0, 1], got {fraction}")
    size = batch_size(batch)
    if size == 0:
        raise WorkloadError("the batch has no examples to estimate the curvature on")
    kept = max(1, round(fraction * size))
    cut: Batch = _cut(batch, size, kept) if kept < size else batch
    return cut


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from _tensors(part)
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from _tensors(part)


def _cut(batch: Any, size: int, kept: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[:kept] if batch.ndim and batch.shape[0] == size else batch
    if isinstance(batch, list | tuple):
        cut = [_cut(part, size, kept) for part in batch]
        return type(batch)(*cut) if hasattr(batch, "_fields") else type(batch)(cut)
    if isinstance(batch, Mapping):
        parts = {key: _cut(part, size, kept) for key, part in batch.items()}
        if type(batch) is dict:
            return parts
        same: Any = copy.copy(batch)  # tokenizers return a mapping of their own type
        for key, part in parts.items():
            same[key] = part
        return same
    return batch
