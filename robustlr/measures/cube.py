"""The runs of one setting as dense arrays [schedule S, learning rate L, seed n].

Missing runs are NaN and noted, never dropped in silence. A value that is not finite, or that is
worse than chance, counts as chance: divergence is data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Quantity = Literal["loss", "metric"]


@dataclass(frozen=True, kw_only=True)
class Cube:
    """One setting.

    lr_index, log_lr (log₁₀): of the L columns, ascending. ratio: r between neighbours (their
    geometric mean unless `regular`; NaN for a single column).
    select: validation loss, what learning rates are chosen by. report: what is reported.
    raw: report before clipping, NaN where it was not finite. initial: report at initialisation.
    metric_value: the test metric, whatever is reported. All [S, L, n], NaN where there is no
    run; smaller is better. row: of the run frame, or −1. diverged: no finite loss at the end.
    chance, optimum: of the reported quantity; optimum is NaN where unknown. chance_loss: where
    `select` is clipped. at_chance: schedules without a run below it, [S].
    notes: what is missing or doubtful in the numbers, in sentences.
    """

    setting: str
    family: str
    num_steps: int
    metric: str
    schedules: tuple[str, ...]
    lr_index: IntArray
    log_lr: FloatArray
    ratio: float
    regular: bool
    row: IntArray
    diverged: BoolArray
    select: FloatArray
    report: FloatArray
    raw: FloatArray
    initial: FloatArray
    metric_value: FloatArray
    at_chance: BoolArray
    chance_loss: float
    chance: float
    optimum: float
    notes: tuple[str, ...]

    @cached_property
    def runs(self) -> IntArray:
        """Seeds with a run, [S, L]."""
        return np.asarray((self.row >= 0).sum(axis=2))

    @cached_property
    def seeds(self) -> IntArray:
        """Seeds that support a schedule's intervals: the median over its learning rates, [S]."""
        counts = [np.median(row[row > 0]) if row.any() else 0 for row in self.runs]
        return np.array(counts, dtype=np.int64)

    @cached_property
    def divergence_rate(self) -> FloatArray:
        """Share of the runs that diverged, [S, L]; NaN where there is none."""
        return np.where(self.runs > 0, self.diverged.sum(axis=2) / np.maximum(self.runs, 1), np.nan)

    @property
    def peak_lr(self) -> FloatArray:
        return np.asarray(10.0**self.log_lr)

    def columns(self, schedule: int) -> IntArray:
        """Columns at which a schedule has runs, ascending."""
        return np.flatnonzero(self.runs[schedule])

    def scattered(self, per_run: FloatArray) -> FloatArray:
        """Numbers per row of the run frame as an array [S, L, n], NaN where there is no run."""
        return np.where(self.row >= 0, per_run[self.row], np.nan)


def family(run: Mapping[str, Any]) -> str:
    """What a row of the run frame shares with the same setting at other horizons."""
    return f"{run['workload']} · {run['optimizer']} · batch {run['batch_size']}"


def floats(column: pl.Series) -> FloatArray:
    """A column as numbers, NaN for null."""
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
