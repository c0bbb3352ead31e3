"""Run a function on two gloo ranks of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

RANKS = 2


def on_two_ranks(fn: Callable[[int], Any], folder: Path) -> list[Any]:
    """What ``fn(rank)`` returned on each rank; tensors, numbers and containers of them.

    fn: a function of a module, as the ranks import it again.
    """
    multiprocessing.spawn(_rank, (fn, str(folder)), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def mean_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    total = tensor.clone()
    distributed.all_reduce(total)
    return total / RANKS


def _rank(rank: int, fn: Callable[[int], Any], folder: str) -> None:
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "LOCAL_WORLD_SIZE": RANKS}
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0}  # Accelerate asks, none is used
    os.environ.update({name: str(value) for name, value in (place | rendezvous).items()})
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS
    )
    torch.save(fn(rank), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()
