"""Driving a study on this machine: a worker process in every slot, replaced when it dies.

The parent trains nothing and imports no torch: it watches, requeues what died, and reports.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from robustlr.errors import RobustlrError
from robustlr.execution.driving import Progress, Snapshot, driving
from robustlr.execution.process import WorkerProcess
from robustlr.execution.slots import slot_environments
from robustlr.records import RunPaths
from robustlr.specs import StudySpec
from robustlr.study import STORAGE_VARIABLE, CellQueue, Claim, Vigil, prepare

_POLL_SECONDS = 0.25
_PUT_ASIDE_SECONDS = 60.0  # what a worker may take for an update and a checkpoint
_MOST_FRUITLESS_DEATHS = 3  # workers in a row that die before they claim anything


@dataclass(slots=True, kw_only=True)
class Drive:
    """Runs every missing cell of a study with `workers` processes.

    folders: put in front of the workers' import path, for the user's own workloads. new_code:
    theirs may differ from that of the results.
    """

    spec: StudySpec
    paths: RunPaths
    workers: int
    folders: tuple[Path, ...] = ()
    new_code: bool = False
    _workers: dict[int, WorkerProcess] = field(default_factory=dict)  # by slot
    _fruitless: int = 0

    def run(self, on_progress: Callable[[Snapshot], None]) -> None:
        """Returns when every cell has a result or FAILED.

        Raises StudyConflictError where another run drives the study or the spec contradicts it,
        SpecError where the workers ask for more GPUs than there are, RobustlrError with the words
        of a worker that could not go on. Workers never outlive the call.
        """
        slots = slot_environments(self.spec, self.workers)
        with driving(self.paths):
            try:
                self._drive(slots, on_progress)
            finally:
                self._dismiss()

    def _drive(self, slots: list[dict[str, str]], on_progress: Callable[[Snapshot], None]) -> None:
        names = [self._name(slot) for slot in range(self.workers)]
        current, queue = prepare(self.spec, self.paths, workers=names, new_code=self.new_code)
        progress = Progress(current, queue)
        vigil = Vigil(spec=self.spec, paths=self.paths, queue=queue, cells=progress.to_run)
        while True:
            tally, snapshot = progress.look()
            on_progress(snapshot)
            if not tally.waiting + tally.running:
                return
            self._staff(slots, tally.waiting, len(self._held(queue)))
            time.sleep(_POLL_SECONDS)
            self._bury(queue, vigil)
            vigil.look()

    def _staff(self, slots: list[dict[str, str]], waiting: int, running: int) -> None:
        """Put a worker into free slots until every cell that waits has one to take it.

        running: cells that workers of ours have taken.
        """
        for slot, environment in enumerate(slots):
            idle = max(len(self._workers) - running, 0)
            if idle >= waiting:
                return
            if slot not in self._workers:
                storage = self.spec.execution.storage
                self._workers[slot] = WorkerProcess.start(
                    self.paths,
                    self._life(slot),
                    {**environment, **({STORAGE_VARIABLE: storage} if storage else {})},
                    self.folders,
                )

    def _bury(self, queue: CellQueue, vigil: Vigil) -> None:
        """Take note of workers that ended; their cells wait again, or have failed."""
        for slot, worker in list(self._workers.items()):
            status = worker.ended()
            if status is None:
                continue
            if said := self._workers.pop(slot).last_words():
                raise RobustlrError(said)
            held = [claim for claim in queue.running() if claim.worker == worker.worker]
            if status == 0 and not held:  # it has told the queue what became of its cells
                self._fruitless = 0
                continue
            self._fruitless = 0 if held else self._fruitless + 1
            if self._fruitless == _MOST_FRUITLESS_DEATHS:
                raise RobustlrError(
                    f"{self._fruitless} workers in a row died ({_ended(status)}) before they took "
                    f"a cell; the last one said: {worker.last_line()}"
                )
            for claim in held:
                vigil.take_back(claim, f"its worker died ({_ended(status)})")

    def _held(self, queue: CellQueue) -> list[Claim]:
        """What workers of ours have taken."""
        ours = {worker.worker for worker in self._workers.values()}
        return [claim for claim in queue.running() if claim.worker in ours]

    def _name(self, slot: int) -> str:
        """Of the worker in a slot: unique in the study's folder."""
        return f"{socket.gethostname()}-{slot}" if self.spec.execution.storage else str(slot)

    def _life(self, slot: int) -> str:
        """Of a new worker in a slot: unique over all machines that share the storage, of which two
        may have the same name.
        """
        name = self._name(slot)
        return f"{name}#{secrets.token_hex(6)}" if self.spec.execution.storage else name

    def _dismiss(self) -> None:
        """Let the workers put their cells aside, which a second interruption cuts short."""
        workers = self._workers.values()
        try:
            for worker in workers:
                worker.terminate()
            deadline = time.monotonic() + _PUT_ASIDE_SECONDS
            while any(worker.ended() is None for worker in workers):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.last_words()
            self._workers.clear()


def _ended(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
