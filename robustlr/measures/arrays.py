"""Small array helpers: reductions that pass over missing values without warnings, and frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from robustlr.measures.cube import FloatArray, IntArray
from robustlr.measures.schemas import Schema


def take(values: FloatArray, index: IntArray) -> FloatArray:
    """values [L, R] at column index [..., R]: NaN where the index lies outside 0 … L − 1."""
    outside = (index < 0) | (index >= len(values))
    rows = values.shape[1]
    picked: FloatArray = np.take(values, index * rows + np.arange(rows), mode="clip")
    if outside.any():
        picked[outside] = np.nan
    return picked


def mean_known(values: FloatArray, axis: int) -> FloatArray:
    """Mean of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def max_known(values: FloatArray, axis: int) -> FloatArray:
    """Largest of what is not NaN; NaN where nothing is."""
    return np.asarray(np.fmax.reduce(values, axis=axis))


def best_column(values: FloatArray, axis: int) -> IntArray:
    """Position of the least value, the first of equals; NaN is never chosen over a number."""
    return np.asarray(np.argmin(np.where(np.isnan(values), np.inf, values), axis=axis))


def spread(name: str, summary: tuple[FloatArray, FloatArray, FloatArray]) -> dict[str, FloatArray]:
    """The three columns of a quantity with an interval."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), summary, strict=True))


def frame(schema: Schema, **columns: Any) -> pl.DataFrame:
    """A block of rows: arrays of equal length and constants; NaN and absent columns are null."""
    height = max((np.size(c) for c in columns.values() if np.ndim(c) == 1), default=1)
    series = []
    for name, dtype in schema.items():
        column = columns.pop(name, None)
        if np.ndim(column) == 0:
            item = column.item() if isinstance(column, np.ndarray | np.generic) else column
            column = [None if item != item else item] * height  # NaN differs from itself
        series.append(pl.Series(name, column, dtype=dtype, nan_to_null=True))
    if columns:
        raise KeyError(f"not in the schema: {', '.join(columns)}")
    return pl.DataFrame(series)


def stack(schema: Schema, frames: list[pl.DataFrame]) -> pl.DataFrame:
    """All blocks under each other; an empty frame of that schema where there are none."""
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
