"""What became of a cell: its result file, which is the last word on it."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

import polars as pl

from robustlr.records import (
    Remote,
    RunPaths,
    RunRecord,
    RunStatus,
    empty_curve,
    remote_of,
    standing_result,
    write_result,
)
from robustlr.specs import Cell, StudySpec


def standing_record(paths: RunPaths, key: str, remote: Remote | None = None) -> RunRecord | None:
    """The record of a cell that is not to be run again, here or there; None where it is."""
    record = standing_result(paths.cell(key))
    if record is None and remote is not None and remote.fetch_result(key):
        record = standing_result(paths.cell(key))
    return record


class Standing:
    """Whether a cell has a result that stands, here or there: asked of many cells at once."""

    def __init__(self, spec: StudySpec, paths: RunPaths) -> None:
        self._paths, self._remote = paths, remote_of(spec, paths)

    @cached_property
    def _there(self) -> dict[str, int]:
        """Sizes, listed when it is first asked for: what ended before that is in it."""
        return {} if self._remote is None else self._remote.results()

    def __call__(self, cell: Cell) -> bool:
        here, there = self._paths.cell(cell.key), self._there.get(cell.key)
        changed = there is not None and not (here.exists() and here.stat().st_size == there)
        return standing_record(self._paths, cell.key, self._remote if changed else None) is not None


def write_outcome(
    paths: RunPaths, record: RunRecord, curve: pl.DataFrame, remote: Remote | None = None
) -> RunRecord:
    """Write a cell's result, which no checkpoint outlives, here and there; the record that stands.

    A failure never replaces a result: whoever tells it may have been stopped for so long that
    another has finished the cell. Raises StorageError.
    """
    if record.status is RunStatus.FAILED:
        standing = standing_record(paths, record.cell.key, remote)
        if standing is not None:
            return standing
    write_result(paths.cell(record.cell.key), record, curve)
    if remote is not None:
        remote.push_result(record.cell.key)
    with suppress(OSError):
        paths.checkpoint(record.cell.key).unlink(missing_ok=True)
    return record


def record_failure(
    paths: RunPaths, cell: Cell, reason: str, remote: Remote | None = None
) -> RunRecord:
    """Write down that a cell FAILED, unless it has a result; the record that stands.

    Raises StorageError.
    """
    record = RunRecord(cell=cell, status=RunStatus.FAILED, reason=reason)
    return write_outcome(paths, record, empty_curve(), remote)
