"""What a worker does: claim a cell, run it, write its result, tell the queue."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import polars as pl

from robustlr.errors import (
    CellStoppedError,
    RobustlrError,
    StorageError,
    StudyConflictError,
    one_line,
)
from robustlr.records import (
    Remote,
    RunPaths,
    RunRecord,
    RunStatus,
    empty_curve,
    read_spec,
    remote_of,
    write_atomic,
)
from robustlr.specs import Cell
from robustlr.study.heartbeat import Heartbeat
from robustlr.study.known_cells import KnownCells
from robustlr.study.locks import is_held
from robustlr.study.opening import open_queue, with_storage
from robustlr.study.outcome import standing_record, write_outcome
from robustlr.study.queue import CellQueue, Claim
from robustlr.study.vigil import Vigil

RunCell = Callable[[Cell], tuple[RunRecord, pl.DataFrame]]

_LOOK_SECONDS = 1.0


def work(
    paths: RunPaths,
    worker: str,
    run_cell: RunCell,
    *,
    storage: str | None = None,
    wait: bool = False,
    agree: Callable[[CellQueue], None] = lambda queue: None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Run cells until none waits; the number of cells this worker finished.

    storage: the queue's address, where the folder or the environment does not tell it whole.
    wait: stay while others are at work, in case one of them vanishes and leaves its cell.
    agree: called before any cell, and after the first sign of life, which keeps what is agreed on;
    it raises where this worker does not fit.
    stop: asked before every cell whether to take no more, and while the storage is away; a cell
    that raises CellStoppedError waits again.
    A cell whose workload raises is recorded as FAILED, its traceback in the cell's log. A result
    is discarded where the cell was taken from us, since we seemed to be gone.
    Raises StorageError where results or the queue cannot be written.
    """
    spec = with_storage(read_spec(paths), storage)
    cells = KnownCells(spec, paths)
    queue = open_queue(spec, paths, patient=True, stop=stop)
    name = worker.partition("#")[0]
    lock = paths.worker_lock(name).resolve()  # others look at it from other folders
    pulse = Heartbeat(spec, paths, worker, cells, str(lock) if is_held(lock) else "")
    vigil = Vigil(spec=spec, paths=paths, queue=queue, cells=cells, me=worker)
    remote = remote_of(spec, paths)
    finished = 0
    with pulse.start(queue, stop=stop):
        try:
            agree(queue)
        except StudyConflictError:
            queue.forget(worker)
            raise
        while not stop():
            claim = queue.claim(worker)
            running = queue.running() if wait and claim is None else []
            if claim is None and wait and not running:
                claim = queue.claim(worker)  # put back between the two looks
            if claim is not None:
                finished += _attempt(paths, remote, queue, claim, cells.get(claim.key), run_cell)
            elif running:
                for lost in running:  # claimed on a connection that had been given up
                    if lost.worker == worker:
                        queue.put_back(lost)
                vigil.look()
                time.sleep(_LOOK_SECONDS)
            else:
                break
    queue.forget(worker)
    return finished


def _attempt(
    paths: RunPaths,
    remote: Remote | None,
    queue: CellQueue,
    claim: Claim,
    cell: Cell | None,
    run_cell: RunCell,
) -> bool:
    """Whether the cell got its result from us, or had it already."""
    if cell is None:
        queue.fail(claim, "the study no longer asks for this cell")
        return False
    record = standing_record(paths, claim.key, remote)
    if record is None:
        try:
            record, curve = _run(paths, cell, run_cell)
        except CellStoppedError as stopped:
            print(stopped, flush=True)
            queue.put_back(claim)
            return False
        if not queue.holds(claim):
            print(f"cell {claim.key}: another worker has taken it over; this result is discarded")
            return False
        record = write_outcome(paths, record, curve, remote)
    if record.status is RunStatus.FAILED:
        return queue.fail(claim, record.reason)
    return queue.complete(claim, record.value)


def _run(paths: RunPaths, cell: Cell, run_cell: RunCell) -> tuple[RunRecord, pl.DataFrame]:
    try:
        return run_cell(cell)
    except (StorageError, CellStoppedError):
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(error, RobustlrError):
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            log = f"{stamp} {cell.table()}\n{traceback.format_exc()}"
            write_atomic(paths.cell_log(cell.key), log.encode())
        reason = one_line(str(error) if isinstance(error, RobustlrError) else repr(error))
        return RunRecord(cell=cell, status=RunStatus.FAILED, reason=reason), empty_curve()
