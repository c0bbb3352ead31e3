"""Random signs, and generators that make them independent across steps and ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def probe_generator(
    seed: int, step: int, rank: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator of its own for the estimate at `step` on `rank`; the same for the same three.

    device: where the model is.
    """
    words = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(words[0]))


def rademacher(like: Tensor, generator: torch.Generator) -> Tensor:
    """Independent ±1 with equal chances, in the shape, dtype, device and sharding of `like`."""
    return signs({"": like}, generator)[""].to(like.dtype)


def signs(like: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Independent ±1 by name, one byte each, in the shape, device and sharding of every tensor.

    A sharded probe is drawn whole and dealt out by the first rank, so that shards and replicas
    agree on it whatever their generators.
    """
    # Eight signs from each 64-bit draw: bernoulli_ draws one at a time, and sixteen times slower.
    lengths = [-(-tensor.numel() // 8) for tensor in like.values()]
    words = torch.empty(sum(lengths), dtype=torch.int64, device=generator.device)
    drawn = words.random_(-(2**63), None, generator=generator).view(torch.int8)
    parts = torch.split(drawn.bitwise_and_(2).sub_(1), [8 * length for length in lengths])
    return {
        name: _placed(part[: tensor.numel()].view(tensor.shape), tensor)
        for (name, tensor), part in zip(like.items(), parts, strict=True)
    }


def _placed(drawn: Tensor, like: Tensor) -> Tensor:
    if isinstance(like, DTensor):
        return distribute_tensor(drawn.to(like.device), like.device_mesh, like.placements)
    return drawn.to(like.device)


def add_product(
    total: dict[str, Tensor], name: str, v: Tensor, product: Tensor, weight: float
) -> None:
    """total[name] += weight·v ⊙ product, in place, from nothing at first."""
    if name in total:
        total[name].addcmul_(v, product, value=weight)
    else:
        total[name] = (v * product).mul_(weight)
