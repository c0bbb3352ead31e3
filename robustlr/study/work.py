"""What a worker does: claim a cell, run it, write its result, tell the queue."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

import polars as pl

from robustlr.errors import DataError, RobustlrError, StorageError, one_line
from robustlr.records import (
    RunPaths,
    RunRecord,
    RunStatus,
    empty_curve,
    read_record,
    read_spec,
    write_atomic,
    write_result,
)
from robustlr.specs import Cell
from robustlr.study.queue import CellQueue

RunCell = Callable[[Cell], tuple[RunRecord, pl.DataFrame]]


def work(paths: RunPaths, worker: str, run_cell: RunCell) -> int:
    """Run cells until none waits; the number of cells this worker finished.

    A cell whose workload raises is recorded as FAILED, its traceback in the cell's log.
    Raises StorageError where results or the journal cannot be written.
    """
    spec = read_spec(paths)
    cells = {cell.key: cell for cell in spec.cells()}
    queue = CellQueue(paths, spec.name)
    finished = 0
    while (claim := queue.claim(worker)) is not None:
        number, key = claim
        if key not in cells:
            queue.fail(number, "the study no longer asks for this cell")
            continue
        record = _existing(paths, key) or _run(paths, cells[key], run_cell)
        if record.status is RunStatus.FAILED:
            queue.fail(number, record.reason)
        else:
            queue.complete(number, record.value)
        finished += 1
    return finished


def record_failure(paths: RunPaths, cell: Cell, reason: str) -> RunRecord:
    """Write down that a cell FAILED. Raises StorageError."""
    record = RunRecord(cell=cell, status=RunStatus.FAILED, reason=reason)
    write_result(paths.cell(cell.key), record, empty_curve())
    return record


def _existing(paths: RunPaths, key: str) -> RunRecord | None:
    """A result that stands already: its worker died between writing and telling."""
    try:
        record = read_record(paths.cell(key))
    except DataError:
        return None
    return None if record.status is RunStatus.FAILED else record


def _run(paths: RunPaths, cell: Cell, run_cell: RunCell) -> RunRecord:
    try:
        record, curve = run_cell(cell)
    except StorageError:
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(error, RobustlrError):
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            log = f"{stamp} {cell.table()}\n{traceback.format_exc()}"
            write_atomic(paths.cell_log(cell.key), log.encode())
        reason = one_line(str(error) if isinstance(error, RobustlrError) else repr(error))
        return record_failure(paths, cell, reason)
    write_result(paths.cell(cell.key), record, curve)
    return record
