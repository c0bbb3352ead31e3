"""Random signs, and generators that make them independent across steps and ranks."""

from __future__ import annotations

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
    """`signs` in the dtype of `like`."""
    return signs(like, generator).to(like.dtype)


def signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """Independent ±1 with equal chances, one byte each, in `like`'s shape, device and sharding.

    A sharded probe is drawn whole and dealt out by the first rank, so that shards and replicas
    agree on it whatever their generators.
    """
    # Eight signs from each 64-bit draw: bernoulli_ draws one at a time, and sixteen times slower.
    n = like.numel()
    words = torch.empty(-(-n // 8), dtype=torch.int64, device=generator.device)
    bits = words.random_(-(2**63), None, generator=generator).view(torch.int8)[:n]
    drawn = bits.bitwise_and_(2).sub_(1).view(like.shape).to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(drawn, like.device_mesh, like.placements)
    return drawn


def add_product(
    total: dict[str, Tensor], name: str, v: Tensor, product: Tensor, weight: float
) -> None:
    """total[name] += weight·v ⊙ product, in place, from nothing at first."""
    if name in total:
        total[name].addcmul_(v, product, value=weight)
    else:
        total[name] = (v * product).mul_(weight)
