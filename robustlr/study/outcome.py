"""What became of a cell: its result file, which is the last word on it."""

from __future__ import annotations

from contextlib import suppress

import polars as pl

from robustlr.errors import DataError
from robustlr.records import (
    RunPaths,
    RunRecord,
    RunStatus,
    empty_curve,
    read_record,
    write_result,
)
from robustlr.specs import Cell


def standing_record(paths: RunPaths, key: str) -> RunRecord | None:
    """The record of a cell that is not to be run again; None where it is."""
    try:
        record = read_record(paths.cell(key))
    except DataError:
        return None
    return None if record.status is RunStatus.FAILED else record


def write_outcome(paths: RunPaths, record: RunRecord, curve: pl.DataFrame) -> None:
    """Write a cell's result, which no checkpoint outlives. Raises StorageError."""
    write_result(paths.cell(record.cell.key), record, curve)
    with suppress(OSError):
        paths.checkpoint(record.cell.key).unlink(missing_ok=True)


def record_failure(paths: RunPaths, cell: Cell, reason: str) -> RunRecord:
    """Write down that a cell FAILED. Raises StorageError."""
    record = RunRecord(cell=cell, status=RunStatus.FAILED, reason=reason)
    write_outcome(paths, record, empty_curve())
    return record
