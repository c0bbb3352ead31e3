"""Tables that somebody else wrote: read as text, typed with the line of what is wrong."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from robustlr.errors import DataError, one_line

_DIVERGED = ("", "na", "n/a", "null", "none", "-", "diverged")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column may hold: numbers within a bound, finite, and whether a cell may be empty."""

    dtype: pl.DataType
    bound: Literal["positive", "zero or more"] | None = None
    finite: bool = False
    empty: bool = False


def read_table(path: Path) -> pl.DataFrame:
    """Every cell as text, column names in lower case. Raises DataError."""
    try:
        raw = _read(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8: save it as CSV in UTF-8") from error
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path}: is empty") from error
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise DataError(f"{path}: is not a table: {one_line(str(error))[:120]}") from error
    names = [name.strip().lower() for name in raw.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: has two columns {twice[0]}")
    raw.columns = names
    try:
        return raw.cast(pl.String())
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: a column holds lists or tables, not plain values") from error


def typed(text: pl.Series, column: Column, path: Path) -> pl.Series:
    """The column with its dtype; null only where it may be empty. Raises DataError."""
    text = text.str.strip_chars()
    missing = text.is_null() | text.str.to_lowercase().is_in(_DIVERGED)
    if not column.empty:
        _require(~missing, text, path, "is empty")
    if column.dtype == pl.String():
        return text
    numbers = text.str.to_lowercase().cast(pl.Float64(), strict=False)
    _require(numbers.is_not_null() | missing, text, path, "must be a number")
    if column.dtype == pl.Int64():
        _require(numbers.is_finite() & (numbers == numbers.round()), text, path, "must be whole")
        _require(numbers.abs() < 2**53, text, path, "is too large")
    if column.finite:
        _require(numbers.is_finite() | missing, text, path, "must be finite")
    if column.bound is not None:
        within = numbers > 0 if column.bound == "positive" else numbers >= 0
        _require(within | missing, text, path, f"must be {column.bound}")
    return numbers.cast(column.dtype)


def _read(path: Path) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pl.read_parquet(path)
    content = path.read_bytes()
    if not content.strip():
        raise DataError(f"{path}: is empty")
    if suffix == ".json":
        return pl.read_json(content, infer_schema_length=None)
    if suffix in (".jsonl", ".ndjson"):
        return pl.read_ndjson(content, infer_schema_length=None)
    text = content.decode("utf-8-sig")
    separator = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    try:
        return pl.read_csv(content, infer_schema=False, separator=separator, encoding="utf8")
    except pl.exceptions.ComputeError:
        _require_no_long_row(text, separator, path)
        raise


def _require_no_long_row(text: str, separator: str, path: Path) -> None:
    with suppress(csv.Error):
        header, *rows = csv.reader(text.lstrip().splitlines(keepends=True), delimiter=separator)
        for number, row in enumerate(rows, start=1):
            if len(row) > len(header):
                raise DataError(
                    f"{path}: row {number} has {len(row)} cells, more than the header's "
                    f"{len(header)}"
                )


def _require(good: pl.Series, text: pl.Series, path: Path, what: str) -> None:
    bad = (~good.fill_null(False)).arg_true()
    if len(bad):
        row = int(bad[0])
        cell = text[row]
        shown = "" if cell is None or cell == "" else f", got '{cell}'"
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise DataError(f"{path}: row {row + 1}: {text.name} {what}{shown}{more}")
