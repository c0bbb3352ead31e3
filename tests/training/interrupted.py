"""Training that is interrupted: ``python -m tests.training.interrupted CELLS_JSON FOLDER STOP``.

Every cell of the file goes on from its checkpoint in the folder, and is told to stop before it has
made STOP more updates; one that ends writes its result.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from robustlr.errors import CellStoppedError
from robustlr.records import RunRecord, write_result
from robustlr.specs import Cell
from robustlr.training import Checkpoints, end_training, train
from robustlr.workloads import Batch, build_workload
from robustlr.workloads.digits_mlp import DigitsMLP

ROOT = Path(__file__).parents[2]
NEVER = 10**9


class Counting(nn.Module):
    """Adds a trace of how often it was called, in a buffer that no state_dict holds."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.calls.add_(1.0)
        return inputs + 1e-3 * torch.sin(self.calls)


class Told(nn.Module):
    """Keeps a number that is no tensor, by torch's own way for such."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += self.training
        return inputs * (1.0 + 1e-3 * math.cos(self.calls))

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


class Noisy(DigitsMLP):
    """Every kind of state that training can have: dropout, buffers, numpy's and Python's noise."""

    def model(self, seed: int) -> nn.Module:
        first = (nn.Linear(64, 16), nn.BatchNorm1d(16), Counting(), Told())
        return nn.Sequential(*first, nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 10))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        loss = super().loss(model, batch)
        if not model.training:
            return loss
        return loss * (1.0 + 0.01 * np.random.standard_normal() + 0.01 * random.gauss())


class NoisyInEvaluation(Noisy):
    """Its model comes in evaluation mode, as one of `from_pretrained` does."""

    def model(self, seed: int) -> nn.Module:
        return super().model(seed).eval()


def stop_within(updates: int) -> Callable[[], bool]:
    """Says no for `updates` times."""
    left = updates

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return stop


def seed_anew() -> None:
    """The loop seeds torch alone: a workload that draws from numpy or Python seeds them.

    The first import of what loads the data draws numbers too.
    """
    DigitsMLP().examples("train", 0)
    random.seed(1)
    np.random.seed(1)


def without_time(record: RunRecord, curve: pl.DataFrame) -> tuple[dict[str, object], pl.DataFrame]:
    """All of a result but the time it took and where it was made."""
    table = record.table()
    del table["summary"]["wall_seconds"], table["provenance"]
    return table, curve.drop("wall_seconds")


def in_new_process(cells: Sequence[Cell], folder: Path, stop: int = NEVER, ranks: int = 1) -> str:
    """Go on with every cell in a process, or a group, of its own; what it printed."""
    file = folder / "cells.json"
    file.write_text(json.dumps([cell.table() for cell in cells]))
    group = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = ["-m", "tests.training.interrupted", str(file), str(folder), str(stop)]
    done = subprocess.run(
        [sys.executable, *(group if ranks > 1 else []), *command],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def main(cells_file: str, folder: str, stop: str) -> None:
    for number, table in enumerate(json.loads(Path(cells_file).read_text())):
        cell, rank = Cell.from_table(table), os.environ.get("RANK", "0")
        checkpoints = Checkpoints(
            path=Path(folder) / f"{number}.safetensors",
            stop=stop_within(int(stop)) if rank == "0" else lambda: False,
        )
        seed_anew()
        with suppress(CellStoppedError):
            record, curve = train(cell, build_workload(cell.workload), checkpoints)
            write_result(Path(folder) / f"{number}-{rank}.parquet", record, curve)
    end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
