"""What a worker, or a rank of its group, is asked to do with one cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from robustlr.records import RunPaths, RunRecord
from robustlr.specs import Cell, StudySpec
from robustlr.training import Checkpoints, Tracking, train
from robustlr.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """cell: to train. checkpoint: its file. checkpoint_every: updates. trackers: told of its rows.

    project, tracker_folder: what the trackers call the study, and where they keep things.
    """

    cell: Cell
    checkpoint: str
    checkpoint_every: int = 0
    trackers: tuple[str, ...] = ()
    project: str = ""
    tracker_folder: str = ""

    @classmethod
    def of(cls, cell: Cell, spec: StudySpec, paths: RunPaths) -> Request:
        """A cell of a study in its folder."""
        name = f"{cell.schedule.label} lr={cell.peak_lr:.3g} seed={cell.seed} {cell.setting}"
        return cls(
            cell=cell,
            checkpoint=str(paths.checkpoint(cell.key)),
            checkpoint_every=spec.execution.checkpoint_every,
            trackers=spec.execution.trackers,
            project=spec.name,
            tracker_folder=str(paths.tracker(name, cell.key)),
        )

    def table(self) -> dict[str, Any]:
        """JSON-ready; `from_table` is the inverse."""
        return {**asdict(self), "cell": self.cell.table()}

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Request:
        cell, trackers = Cell.from_table(table["cell"]), tuple(table["trackers"])
        return cls(**{**table, "cell": cell, "trackers": trackers})

    def train(
        self, workload: Workload, stop: Callable[[], bool], note: Callable[[str], None]
    ) -> tuple[RunRecord, pl.DataFrame]:
        """`robustlr.training.train`, in this process or this group."""
        checkpoints = Checkpoints(
            path=Path(self.checkpoint), every=self.checkpoint_every, stop=stop, note=note
        )
        folder = Path(self.tracker_folder)
        tracking = Tracking(names=self.trackers, project=self.project, folder=folder)
        return train(self.cell, workload, checkpoints, tracking if self.trackers else None)
