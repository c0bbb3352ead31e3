"""What every way to drive a study has in common: one driver at a time, and its progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from robustlr.errors import StudyConflictError
from robustlr.records import RunPaths
from robustlr.study import CellQueue, Plan, Tally, hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a drive is: cells ended in all, of which before it began, and the best value."""

    total: int
    finished: int
    finished_before: int
    failed: int
    best_value: float | None
    elapsed_seconds: float


class Progress:
    """Looks at the queue from the driver's side. to_run: cells that had no result, by key."""

    def __init__(self, plan: Plan, queue: CellQueue) -> None:
        self._queue = queue
        self._started = time.monotonic()
        self._total, self._before = len(plan.cells), len(plan.done)
        self.to_run = {cell.key: cell for cell in plan.to_run}

    def look(self) -> tuple[Tally, Snapshot]:
        """Raises StorageError."""
        tally = self._queue.tally(self.to_run)
        unfinished = tally.waiting + tally.running
        return tally, Snapshot(
            total=self._total,
            finished=self._before + len(self.to_run) - unfinished,
            finished_before=self._before,
            failed=tally.failed,
            best_value=tally.best_value,
            elapsed_seconds=time.monotonic() - self._started,
        )


@contextmanager
def driving(paths: RunPaths) -> Iterator[None]:
    """Be the only driver of a study. Raises StudyConflictError where there is another one."""
    paths.create()
    lock = hold(paths.run_lock)
    if lock is None:
        raise StudyConflictError(
            f"{paths.root}: another `study run` is at work on this study; wait for it, or "
            f"watch it with `robustlr study status {paths.root}`"
        )
    try:
        yield
    finally:
        lock.release()
