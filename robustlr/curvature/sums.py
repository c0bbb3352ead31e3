"""Sums over tensors in double, with room for a small part of one.

A sum of millions of small signed float32 terms wants double, and on a CPU ``sum(dtype=...)``
first copies the whole tensor into it, which is twice its size. So it goes by pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

_MOST_PIECES = 16
_LEAST_ENTRIES = 12_288  # per piece; with fewer, the calls take longer than the sums


def plain_sum(tensor: Tensor) -> Tensor:
    """Σ x, a scalar.

    >>> float(plain_sum(torch.ones(3, 2)))
    6.0
    """
    return collected(x.sum(dtype=_wide(x)) for x in _pieces(tensor))


def squared_sum(tensor: Tensor) -> Tensor:
    """Σ x², a scalar.

    >>> float(squared_sum(torch.tensor([3.0, -4.0])))
    25.0
    """
    return collected(x.to(_wide(x), copy=True).square_().sum() for x in _pieces(tensor))


def signed_sums(signs: Tensor, tensor: Tensor) -> Iterator[Tensor]:
    """Scalars that add up to Σ v ⊙ x for signs v = ±1 of any type, a piece's sum each, which is
    made in single, as a tree's.

    >>> signs = torch.tensor([1, -1], dtype=torch.int8)
    >>> float(collected(signed_sums(signs, torch.tensor([2.0, 0.5]))))
    1.5
    """
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    for v, x in zip(_pieces(signs), _pieces(tensor), strict=True):
        yield v.to(dtype, copy=True).mul_(x).sum()


def collected(scalars: Iterable[Tensor]) -> Tensor:
    """The sum of scalars, on the device of the first."""
    scalars = list(scalars)
    if len(scalars) == 1:
        return scalars[0]
    device = scalars[0].device
    return torch.stack([s.to(device) for s in scalars]).sum(dtype=_wide(scalars[0]))


def _wide(tensor: Tensor) -> torch.dtype:
    """Double, except where the device has none."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _pieces(tensor: Tensor) -> tuple[Tensor, ...]:
    """Views along the longest dimension; the same cuts for every tensor of the same shape."""
    count = min(_MOST_PIECES, tensor.numel() // _LEAST_ENTRIES)
    if count < 2:
        return (tensor,)
    longest = max(range(tensor.ndim), key=tensor.shape.__getitem__)
    return tensor.chunk(count, longest)
