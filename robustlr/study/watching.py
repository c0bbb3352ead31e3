"""A study as it is right now: its results on disk, and what its queue says of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from robustlr.errors import DataError, StorageError
from robustlr.records import RunPaths, RunRecord, RunStatus, pull_results, read_result
from robustlr.specs import Cell, StudySpec
from robustlr.study.opening import open_queue
from robustlr.study.plan import check_edits
from robustlr.study.queue import CellQueue, Claim, Sign
from robustlr.study.vigil import is_alive

_RECENT = 50  # results that tell the throughput


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """worker, host: who. seconds: since its last sign of life. cell: what it trains, if any.

    alive: that sign is not too old, by the storage's own clock.
    """

    worker: str
    host: str
    seconds: float | None
    cell: Cell | None
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Cells by state, the workers, and how fast it goes.

    missing: without a result; of them, `running` are at work and `waiting` wait in the queue.
    workers: who lives, and who is gone and still holds a cell. cells_per_minute: over the latest
    results; None before there are two. trouble: why the queue could not be asked.
    """

    cells: int
    completed: int
    diverged: int
    failed: tuple[RunRecord, ...]
    damaged: int
    missing: int
    waiting: int
    running: int
    workers: tuple[WorkerState, ...]
    cells_per_minute: float | None
    trouble: str = ""

    @property
    def alive(self) -> int:
        """Workers that live."""
        return sum(worker.alive for worker in self.workers)

    @property
    def unfinished(self) -> int:
        return self.waiting + self.running

    @property
    def seconds_left(self) -> float | None:
        """At the pace of the latest results; None while nobody works."""
        if not self.alive or not self.cells_per_minute:
            return None
        return 60.0 * self.unfinished / self.cells_per_minute


@dataclass(slots=True)
class Watch:
    """Looks at a study again and again, and changes nothing in its queue.

    A result that it has read is not read again.
    """

    spec: StudySpec
    paths: RunPaths
    _cells: dict[str, Cell] = field(default_factory=dict)
    _read: dict[str, tuple[int, RunRecord | None]] = field(default_factory=dict)
    _queue: CellQueue | None = None

    def __post_init__(self) -> None:
        """Raises StudyConflictError where the spec is not that of the results."""
        check_edits(self.spec, self.paths)
        self._cells = {cell.key: cell for cell in self.spec.cells()}

    def look(self) -> Situation:
        """How the study is now. A queue that cannot be asked is told as `trouble`."""
        trouble, claims, waiting = "", list[Claim](), set[str]()
        workers: tuple[WorkerState, ...] = ()
        try:
            pull_results(self.spec, self.paths)
        except StorageError as error:
            trouble = str(error)
        times = self._refresh()
        records = [record for _, record in self._read.values()]
        known = [record for record in records if record is not None]
        try:
            queue = self._opened()
            if queue is not None:
                claims, waiting = queue.running(), queue.waiting()
                workers = self._workers(queue, claims, queue.signs())
        except StorageError as error:
            self._queue, trouble = None, str(error)
        return Situation(
            cells=len(self._cells),
            completed=sum(record.status is RunStatus.COMPLETED for record in known),
            diverged=sum(record.status is RunStatus.DIVERGED for record in known),
            failed=tuple(record for record in known if record.status is RunStatus.FAILED),
            damaged=len(records) - len(known),
            missing=len(self._cells) - len(records),
            waiting=len(waiting & self._cells.keys()),
            running=sum(claim.key in self._cells for claim in claims),
            workers=workers,
            cells_per_minute=_pace(times),
            trouble=trouble,
        )

    def _refresh(self) -> list[float]:
        """Read the results that are new; when each was written, in seconds, in order."""
        times: dict[str, int] = {}
        for path in self.paths.cells.glob("*.parquet"):
            if path.stem in self._cells and (stamp := _stamp(path)) is not None:
                times[path.stem] = stamp
        self._read = {key: found for key, found in self._read.items() if key in times}
        for key, stamp in times.items():
            if key in self._read and self._read[key][0] == stamp:
                continue
            try:
                self._read[key] = stamp, read_result(self.paths.cell(key))
            except DataError:
                self._read[key] = stamp, None
        return sorted(stamp / 1e9 for stamp in times.values())

    def _opened(self) -> CellQueue | None:
        """The queue, unless the study has not begun: to watch is not to begin it."""
        if self._queue is None and self.paths.spec.exists():
            if not self.spec.execution.storage and not self.paths.journal.exists():
                return None
            self._queue = open_queue(self.spec, self.paths, patience=0.0, create=False)
        return self._queue

    def _workers(
        self, queue: CellQueue, claims: list[Claim], signs: list[Sign]
    ) -> tuple[WorkerState, ...]:
        at_work = {claim.worker: self._cells.get(claim.key) for claim in claims}
        given = {sign.worker: sign for sign in signs}
        alive = {sign.worker for sign in signs if is_alive(sign, self.spec, queue)}
        return tuple(
            WorkerState(
                worker=worker.partition("#")[0],
                host=given[worker].host if worker in given else "",
                seconds=given[worker].seconds if worker in given else None,
                cell=at_work.get(worker),
                alive=worker in alive,
            )
            for worker in sorted({*at_work, *alive})
        )


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # replaced at this moment
        return None


def _pace(times: list[float]) -> float | None:
    """Results per minute over the latest ones, by the times of their files alone, which are
    those of the address where they were fetched from one.

    >>> _pace([0.0, 30.0, 60.0])
    2.0
    >>> _pace([0.0])
    """
    recent = times[-_RECENT:]
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return None
    return 60.0 * (len(recent) - 1) / (recent[-1] - recent[0])
