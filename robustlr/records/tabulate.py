"""The learning rates of a run that was made, as a schedule for runs to come: a control.

A schedule that learns from its run can owe its success to the shape of its curve alone. Whoever
replays the curve of another seed, open loop, or its mean, knows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from robustlr.errors import DataError
from robustlr.records.files import read_curve, read_record
from robustlr.schedules import Tabulated

MOST_POINTS = 64


def tabulate(curve: pl.DataFrame, *, peak_lr: float, num_steps: int, name: str) -> Tabulated:
    """The multipliers lr/peak_lr of a curve at no more than `MOST_POINTS` of its rows.

    curve: columns `step` (updates done) and `lr` (of the last of them), as in CURVE_SCHEMA. With
    `log_every = 1` the copy of a curve of few corners is exact, as that of a schedule that decides
    anew every so many updates; else the multiplier is interpolated between rows. Raises DataError
    where there is nothing to tabulate.
    """
    missing = {"step", "lr"} - set(curve.columns)
    rows = pl.DataFrame() if missing else curve.select("step", "lr").drop_nulls().sort("step")
    if rows.height < 2:
        raise DataError(f"'{name}': a curve needs columns step and lr with at least two rows")
    steps, multipliers = rows["step"].to_numpy(), rows["lr"].to_numpy() / peak_lr
    chosen = _corners(steps, multipliers)
    if len(chosen) > MOST_POINTS:
        chosen = np.unique(np.linspace(0, rows.height - 1, MOST_POINTS).round().astype(np.int64))
    # The row after update t (from 0) has step = t + 1.
    fractions = (steps[chosen] - 1) / num_steps
    multipliers = np.round(multipliers[chosen], 6)
    if fractions[0] > 0.0:
        fractions, multipliers = np.r_[0.0, fractions], np.r_[multipliers[0], multipliers]
    return Tabulated(
        fractions=(*np.round(fractions, 9).tolist(), 1.0),
        multipliers=(*multipliers.tolist(), float(multipliers[-1])),
        name=name,
    )


def _corners(steps: NDArray[np.int64], multipliers: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows between which the multipliers are straight lines, the first and the last too."""
    slopes = np.diff(multipliers) / np.diff(steps)
    bends = ~np.isclose(slopes[1:], slopes[:-1], rtol=1e-6, atol=1e-12)
    return np.flatnonzero(np.r_[True, bends, True])


def tabulate_result(path: Path, *, name: str = "replay") -> Tabulated:
    """`tabulate` of the run in a result file. Raises DataError for a missing or damaged one."""
    cell = read_record(path).cell
    return tabulate(read_curve(path), peak_lr=cell.peak_lr, num_steps=cell.num_steps, name=name)


def constant(multiplier: float, *, name: str = "mean") -> Tabulated:
    """The fixed schedule at `multiplier`: that of a run's mean learning rate, say.

    The mean is ``curvature_mean_multiplier`` in the outcome of a curvature-adaptive run.
    """
    return Tabulated(fractions=(0.0, 1.0), multipliers=(multiplier, multiplier), name=name)
