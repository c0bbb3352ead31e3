"""One number for all ranks of the default process group."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean of `tensor` over the ranks, equal on every one of them to the bit."""
    if not _grouped():
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def mean_number(value: float, device: torch.device) -> float:
    """The mean of `value` over the ranks; `device` is one that the group can reduce on."""
    if not _grouped():
        return value
    return float(mean_over_ranks(torch.tensor(value, dtype=torch.float64, device=device)))


def rank() -> int:
    """This process's place in the group, 0 where there is none."""
    return distributed.get_rank() if _grouped() else 0


def world_size() -> int:
    """Ranks in the group, 1 where there is none."""
    return distributed.get_world_size() if _grouped() else 1


def _grouped() -> bool:
    return distributed.is_available() and distributed.is_initialized()
