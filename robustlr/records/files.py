"""Result files: written whole and renamed, read with suspicion.

A cell's result is one Parquet file: the curve as its rows, the record as JSON in the file's
metadata. One rename makes both visible at once; a process killed at any moment leaves either
the whole result or none.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl

from robustlr.errors import DataError
from robustlr.files import write_atomic
from robustlr.records.paths import RunPaths
from robustlr.records.record import RunRecord, RunStatus
from robustlr.specs import StudySpec

_RECORD = "robustlr.record"
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What Polars raises for a file that is missing or damaged."""

CURVE_SCHEMA: dict[str, pl.DataType] = {
    "step": pl.Int64(),
    "lr": pl.Float64(),
    "train_loss": pl.Float64(),
    "grad_norm": pl.Float64(),
    "valid_loss": pl.Float64(),
    "test_loss": pl.Float64(),
    "valid_metric": pl.Float64(),
    "test_metric": pl.Float64(),
    "example_passes": pl.Float64(),
    "curvature_passes": pl.Float64(),
    "evaluation_passes": pl.Float64(),
    "wall_seconds": pl.Float64(),
}
"""Columns of a curve, one row per logged step: `step` updates are done; `lr` is the one applied
by the last of them, `train_loss` the mean over the updates since the previous row; validation
and test are null where they were not evaluated. A schedule's telemetry adds Float64 columns."""


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` of indented JSON; inf and nan, which TOML knows, are written as such."""
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """Raises DataError for a file that is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: is damaged: {error}") from error


def read_spec(paths: RunPaths) -> StudySpec:
    """The spec a study folder was last run with. Raises DataError where there is none."""
    if not paths.spec.exists():
        raise DataError(f"{paths.root}: no study here; `robustlr study run` makes one")
    return StudySpec.from_table(read_json(paths.spec), where=str(paths.spec))


def write_result(path: Path, record: RunRecord, curve: pl.DataFrame) -> None:
    """Write one cell's record and curve, whole or not at all. Raises StorageError."""
    buffer = io.BytesIO()
    curve.write_parquet(buffer, metadata={_RECORD: json.dumps(record.table())})
    write_atomic(path, buffer.getvalue())


def read_record(path: Path) -> RunRecord:
    """The record in a result file. Raises DataError for a missing or damaged file."""
    try:
        metadata = pl.read_parquet_metadata(path)
        return RunRecord.from_table(json.loads(metadata[_RECORD]))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such result file") from error
    except (*UNREADABLE, KeyError, ValueError) as error:
        raise _damaged(path) from error


def read_result(path: Path) -> RunRecord:
    """The record in the file of a cell, which has the cell's key for its name.

    Raises DataError for a missing or damaged file, or a copy of another cell's.
    """
    record = read_record(path)
    if record.cell.key != path.stem:
        raise _damaged(path)
    return record


def standing_result(path: Path) -> RunRecord | None:
    """The record of a cell that is not to be run again; None for a missing or damaged file, or a
    failure.
    """
    try:
        record = read_result(path)
    except DataError:
        return None
    return None if record.status is RunStatus.FAILED else record


def read_curve(path: Path) -> pl.DataFrame:
    """The curve in a result file. Raises DataError for a missing or damaged file."""
    try:
        curve = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such result file") from error
    except UNREADABLE as error:
        raise _damaged(path) from error
    if any(curve.schema.get(name) != dtype for name, dtype in CURVE_SCHEMA.items()):
        raise _damaged(path)
    return curve


def empty_curve() -> pl.DataFrame:
    """The curve of a run that left none."""
    return pl.DataFrame(schema=CURVE_SCHEMA)


def _damaged(path: Path) -> DataError:
    return DataError(
        f"{path}: is damaged or no result file (runs/NAME/cells/KEY.parquet); "
        "`robustlr study run` makes damaged results again"
    )
