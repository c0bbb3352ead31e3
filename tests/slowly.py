"""A study that takes its time as long as a file is there, however fast or busy the machine is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.small_study import write_study

_WORKLOAD = """\
import time
from pathlib import Path

from robustlr.workloads.logistic import Logistic


class Slow(Logistic):
    def loss(self, model, batch):
        if Path({file!r}).exists():
            time.sleep(0.05)
        return super().loss(model, batch)


def make():
    return Slow(dim=3, samples=60)
"""


def write_slow_study(folder: Path, **fields: Any) -> tuple[Path, Path]:
    """(small.toml in `folder`, the file that makes each of its 8 cells take 5 s and more)."""
    slow = folder / "slow"
    slow.touch()
    (folder / "slowly.py").write_text(_WORKLOAD.format(file=str(slow)), encoding="utf-8")
    values = {"num_steps": 100, "workload": 'factory = "slowly:make"'} | fields
    return write_study(folder, **values), slow
