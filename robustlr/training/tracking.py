"""Accelerate's trackers: TensorBoard, W&B, MLflow and their like, one run per cell.

The main process alone logs, and what the curve has a row for. A tracker that fails in the middle
of a run is left alone from then on: the curve is on disk in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from robustlr.errors import SpecError, one_line
from robustlr.specs import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """names: of Accelerate's trackers. project: the study. folder: for what they keep here."""

    names: tuple[str, ...]
    project: str
    folder: Path


def require_trackers(names: tuple[str, ...]) -> None:
    """Raise SpecError where a tracker is not installed here."""
    available = {str(name.value) for name in get_available_trackers()}
    missing = [name for name in names if name not in available]
    if missing:
        raise SpecError(
            f"execution.trackers: {' and '.join(missing)} cannot be imported here: "
            f"pip install {' '.join(missing)}"
        )


class Tracker:
    """The trackers of one run. Begun with the first row, so that a resumed run goes on in it."""

    def __init__(
        self,
        tracking: Tracking | None,
        cell: Cell,
        accelerator: Accelerator,
        note: Callable[[str], None],
    ) -> None:
        self._tracking = tracking if accelerator.is_main_process else None
        self._cell, self._accelerator, self._note = cell, accelerator, note
        self._begun = False

    def log(self, row: Mapping[str, float | int | None]) -> None:
        """A row of the curve."""
        if self._tracking is None:
            return
        step = int(row["step"] or 0)
        values = {k: float(v) for k, v in row.items() if v is not None and k != "step"}
        try:
            if not self._begun:
                self._begin(self._tracking, step)
            self._accelerator.log(values, step=step)
        except Exception as error:
            self._tracking = None
            what = one_line(f"{type(error).__name__}: {error}")
            self._note(f"cell {self._cell.key}: its trackers are left alone: {what}")

    def close(self) -> None:
        """End the run; the process group stays, other than with `Accelerator.end_training`."""
        for tracker in self._accelerator.trackers:
            with suppress(Exception):
                tracker.finish()
        self._accelerator.trackers = []

    def _begin(self, tracking: Tracking, step: int) -> None:
        self._begun = True
        tracking.folder.mkdir(parents=True, exist_ok=True)
        name, key = tracking.folder.name, self._cell.key
        # No config to init_trackers: W&B's tracker has made a second run of it when offline, and
        # TensorBoard's makes a folder of it each time. W&B takes it here.
        self._accelerator.init_trackers(
            tracking.project,
            init_kwargs={
                "tensorboard": {"purge_step": step},  # rows of an attempt that went further
                "wandb": {
                    "id": key,
                    "name": name,
                    "resume": "allow",
                    "dir": str(tracking.folder),
                    "config": self._cell.table(),
                },
                "mlflow": {"run_name": name},
            },
        )


def accelerator_options(tracking: Tracking | None) -> dict[str, Any]:
    """What an Accelerator has to know of the trackers from the start."""
    if tracking is None:
        return {}
    return {"log_with": list(tracking.names), "project_dir": str(tracking.folder)}
