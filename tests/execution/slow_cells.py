"""Workloads that take their time or break down, for cells that are interrupted while they train.

What they do to whom is read from the environment, which workers and ranks inherit.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from robustlr.workloads import Batch
from tests.workloads.samples import Regression

FOLDER, RANK = "ROBUSTLR_TEST_FOLDER", "ROBUSTLR_TEST_RANK"


class Slow(Regression):
    """Every update takes at least 20 ms; every process leaves its id, and word of its 5th.

    From then on an update takes a second while there is a file `slow`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rank = os.environ.get("RANK", "0")
        self.updates = 0

    def model(self, seed: int) -> nn.Module:
        (folder() / f"pid-{self.rank}").write_text(str(os.getpid()))
        self.updates = 0
        return super().model(seed)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if model.training:
            self.updates += 1
            if self.updates == 5:
                (folder() / f"updates-{self.rank}").touch()
            self.before_update()
            time.sleep(1.0 if self.updates >= 5 and (folder() / "slow").exists() else 0.02)
        return super().loss(model, batch)

    def before_update(self) -> None:
        """What goes wrong."""


class _Faulty(Slow):
    """Breaks at the 8th update of a process, in one rank, as often as there are files left."""

    def before_update(self) -> None:
        if self.updates != 8 or self.rank != os.environ[RANK]:
            return
        left = sorted(folder().glob("fault-*"))
        if left:
            left[0].unlink()
            self.fault()

    def fault(self) -> None:
        raise NotImplementedError


class Killed(_Faulty):
    def fault(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Hanging(_Faulty):
    def fault(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)


class OutOfMemory(_Faulty):
    """More than any machine has."""

    def fault(self) -> None:
        torch.empty(1 << 58, dtype=torch.uint8)


class Raising(_Faulty):
    def fault(self) -> None:
        raise RuntimeError("no such luck")


def folder() -> Path:
    return Path(os.environ[FOLDER])


def leave_faults(count: int) -> None:
    for number in range(count):
        (folder() / f"fault-{number}").touch()
