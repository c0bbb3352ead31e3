"""Writing down that a cell has failed."""

from __future__ import annotations

from robustlr.records import RunPaths, RunRecord, RunStatus, empty_curve, write_result
from robustlr.specs import Cell


def record_failure(paths: RunPaths, cell: Cell, reason: str) -> RunRecord:
    """Write down that a cell FAILED. Raises StorageError."""
    record = RunRecord(cell=cell, status=RunStatus.FAILED, reason=reason)
    write_result(paths.cell(cell.key), record, empty_curve())
    return record
