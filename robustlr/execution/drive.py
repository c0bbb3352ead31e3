"""Driving a study on this machine: a worker process in every slot, replaced when it dies.

The parent trains nothing and imports no torch: it watches, requeues what died, and reports.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from robustlr.errors import RobustlrError, StudyConflictError
from robustlr.execution.process import WorkerProcess
from robustlr.execution.slots import slot_environments
from robustlr.records import RunPaths
from robustlr.specs import Cell, StudySpec
from robustlr.study import CellQueue, hold, prepare, record_failure

_POLL_SECONDS = 0.25
_MOST_FRUITLESS_DEATHS = 3  # workers in a row that die before they claim anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a drive is: cells ended in all, of which before it began, and the best value."""

    total: int
    finished: int
    finished_before: int
    failed: int
    best_value: float | None
    elapsed_seconds: float


@dataclass(slots=True, kw_only=True)
class Drive:
    """Runs every missing cell of a study with `workers` processes.

    folders: put in front of the workers' import path, for the user's own workloads.
    """

    spec: StudySpec
    paths: RunPaths
    workers: int
    folders: tuple[Path, ...] = ()
    _workers: dict[int, WorkerProcess] = field(default_factory=dict)  # by slot
    _deaths: Counter[str] = field(default_factory=Counter)  # by cell
    _fruitless: int = 0

    def run(self, on_progress: Callable[[Snapshot], None]) -> None:
        """Returns when every cell has a result or FAILED.

        Raises StudyConflictError where another run drives the study or the spec contradicts it,
        SpecError where the workers ask for more GPUs than there are, RobustlrError with the words
        of a worker that could not go on. Workers never outlive the call.
        """
        slots = slot_environments(self.spec, self.workers)
        self.paths.create()
        lock = hold(self.paths.run_lock)
        if lock is None:
            raise StudyConflictError(
                f"{self.paths.root}: another `study run` is at work on this study; wait for it, or "
                f"watch it with `robustlr study status {self.paths.root}`"
            )
        try:
            started = time.monotonic()
            current, queue = prepare(self.spec, self.paths)
            to_run = {cell.key: cell for cell in current.to_run}
            before = len(current.done)

            while True:
                tally = queue.tally(to_run)
                unfinished = tally.waiting + tally.running
                on_progress(
                    Snapshot(
                        total=len(current.cells),
                        finished=before + len(to_run) - unfinished,
                        finished_before=before,
                        failed=tally.failed,
                        best_value=tally.best_value,
                        elapsed_seconds=time.monotonic() - started,
                    )
                )
                if not unfinished:
                    return
                self._staff(slots, tally.waiting, tally.running)
                time.sleep(_POLL_SECONDS)
                self._bury(queue, to_run)
        finally:
            self._dismiss()
            lock.release()

    def _staff(self, slots: list[dict[str, str]], waiting: int, running: int) -> None:
        """Put a worker into free slots until every cell that waits has one to take it."""
        for slot, environment in enumerate(slots):
            idle = max(len(self._workers) - running, 0)
            if idle >= waiting:
                return
            if slot not in self._workers:
                self._workers[slot] = WorkerProcess.start(
                    self.paths, str(slot), environment, self.folders
                )

    def _bury(self, queue: CellQueue, to_run: dict[str, Cell]) -> None:
        """Take note of workers that ended; their cells wait again, or have failed."""
        for slot, worker in list(self._workers.items()):
            status = worker.ended()
            if status is None:
                continue
            said = self._workers.pop(slot).last_words()
            held = queue.running(str(slot))
            if status == 0 and not held:
                self._fruitless = 0
                continue
            if status > 0:
                raise RobustlrError(said)
            self._fruitless = 0 if held else self._fruitless + 1
            if self._fruitless == _MOST_FRUITLESS_DEATHS:
                raise RobustlrError(
                    f"{self._fruitless} workers in a row died ({_ended(status)}) before they took "
                    f"a cell; the last one said: {said}"
                )
            for number, key in held.items():
                self._retry(queue, number, to_run.get(key), f"its worker died ({_ended(status)})")
        if not self._workers:  # a claim that was cut short before it named its worker
            for number, key in queue.running().items():
                self._retry(queue, number, to_run.get(key), "its worker is gone")

    def _retry(self, queue: CellQueue, number: int, cell: Cell | None, reason: str) -> None:
        queue.fail(number, reason)
        if cell is None:  # a trial of before: its cell has a result, or is no longer asked for
            return
        self._deaths[cell.key] += 1
        if self._deaths[cell.key] <= self.spec.execution.max_retries:
            queue.add([cell], self.spec)
        elif not self.paths.cell(cell.key).exists():
            record_failure(self.paths, cell, f"{reason}, {self._deaths[cell.key]} times")

    def _dismiss(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            worker.last_words()
        self._workers.clear()


def _ended(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
