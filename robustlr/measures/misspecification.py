"""The misspecification curve: what a learning rate wrong by a factor ρ costs.

    value(ρη*_s),   ρ = r^j on both sides,   and   (value(ρη*) − optimum)/(value(η*) − optimum)

η*_s is chosen anew in every resample. Where the optimum is known, the exponent of the ratio for
too large learning rates is the slope of its logarithm against log ρ.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame, spread, stack, take
from robustlr.measures.cube import BoolArray, FloatArray, IntArray
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.resampling import weighted_mean
from robustlr.measures.schemas import EXPONENT_SCHEMA, MISSPECIFICATION_SCHEMA

RHO_LOW, RHO_HIGH = 10.0, 100.0
"""Where exponents are fitted: below, the curves are still flat; above, they saturate."""

_SLACK = 1e-9  # in decades: grid points are not exact powers of ten


def misspecification_frame(ensemble: Ensemble) -> pl.DataFrame:
    """MISSPECIFICATION_SCHEMA: one row per schedule and grid point."""
    cube = ensemble.cube
    rows = []
    for s in range(len(cube.schedules)):
        columns = cube.columns(s)
        shifts = columns - ensemble.tuned[s]
        rows.append(
            frame(
                MISSPECIFICATION_SCHEMA,
                **ensemble.head(s),
                **ensemble.grid_points(s),
                divergence_rate=cube.divergence_rate[s, columns],
                **spread("value", ensemble.summary(s, ensemble.average(_value, s, shifts))),
                **spread(
                    "excess_over_own_best",
                    ensemble.summary(s, ensemble.average(_over_own, s, shifts)),
                ),
                **spread(
                    "excess_over_best", ensemble.summary(s, ensemble.average(_over_best, s, shifts))
                ),
                **spread(
                    "excess_ratio", ensemble.summary(s, ensemble.average(_excess_ratio, s, shifts))
                ),
            )
        )
    return stack(MISSPECIFICATION_SCHEMA, rows)


def exponent_frame(ensemble: Ensemble) -> pl.DataFrame:
    """EXPONENT_SCHEMA: one row per schedule, none where the optimum is not known."""
    cube = ensemble.cube
    if np.isnan(cube.optimum):
        return pl.DataFrame(schema=EXPONENT_SCHEMA)
    rows = []
    for s in range(len(cube.schedules)):
        shifts = np.arange(1, len(cube.lr_index))
        draws, points = [], 0
        for fold in ensemble.folds:
            log_rho = (
                _shifted(
                    np.repeat(cube.log_lr[:, None], fold.tuned.shape[1], axis=1), fold, s, shifts
                )
                - cube.log_lr[fold.tuned[s]]
            )
            ratio = _excess_ratio(fold, s, shifts)
            low, high = np.log10(RHO_LOW) - _SLACK, np.log10(RHO_HIGH) + _SLACK
            used = (log_rho >= low) & (log_rho <= high) & (ratio > 0)
            points = max(points, int(used[:, 0].sum()))
            draws.append(slopes(log_rho, np.log10(np.where(used, ratio, 1.0)), used))
        rows.append(
            frame(
                EXPONENT_SCHEMA,
                **ensemble.head(s),
                rho_low=RHO_LOW,
                rho_high=RHO_HIGH,
                points=points,
                **spread("exponent", ensemble.summary(s, np.mean(draws, axis=0))),
            )
        )
    return stack(EXPONENT_SCHEMA, rows)


def exponent_notes(exponents: pl.DataFrame) -> list[str]:
    """Why exponents are missing, in sentences."""
    return [
        f"{name} has no exponent: it takes two learning rates {RHO_LOW:g} to {RHO_HIGH:g} times "
        "the tuned one at which no run diverged"
        for name in exponents.filter(pl.col("exponent").is_null())["schedule"]
    ]


def slopes(x: FloatArray, y: FloatArray, used: BoolArray) -> FloatArray:
    """Least-squares slope of y on x along the first axis, over the points in use.

    NaN where fewer than two of them differ in x.

    >>> slopes(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 10.0]), np.ones(3, dtype=bool))
    array(5.)
    """
    count = np.maximum(used.sum(axis=0), 1)
    centred = np.where(used, x - np.where(used, x, 0.0).sum(axis=0) / count, 0.0)
    variance = (centred**2).sum(axis=0)
    covariance = (centred * np.where(used, y, 0.0)).sum(axis=0)
    solvable = variance > 1e-12
    return np.asarray(np.where(solvable, covariance / np.where(solvable, variance, 1.0), np.nan))


def _value(fold: Fold, s: int, shifts: IntArray) -> FloatArray:
    return _shifted(fold.report[s], fold, s, shifts)


def _over_own(fold: Fold, s: int, shifts: IntArray) -> FloatArray:
    return np.asarray(_value(fold, s, shifts) - fold.tuned_value[s])


def _over_best(fold: Fold, s: int, shifts: IntArray) -> FloatArray:
    return np.asarray(_value(fold, s, shifts) - fold.best_value)


def _shifted(values: FloatArray, fold: Fold, s: int, shifts: IntArray) -> FloatArray:
    """values [L, R] at the tuned column plus each shift, [shifts, R]; NaN beyond the grid."""
    return take(values, fold.tuned[s] + shifts[:, None])


def _excess_ratio(fold: Fold, s: int, shifts: IntArray) -> FloatArray:
    """Unclipped excess over the known optimum, relative to the tuned one, [shifts, R]."""
    if np.isnan(fold.cube.optimum):
        return np.full((len(shifts), fold.tuned.shape[1]), np.nan)
    excess = unclipped(fold, s) - fold.cube.optimum
    tuned = take(excess, fold.tuned[s])
    ratio = _shifted(excess, fold, s, shifts) / np.where(tuned > 0, tuned, np.nan)
    return np.asarray(ratio)


def unclipped(fold: Fold, s: int) -> FloatArray:
    """Mean of the unclipped values, [L, R]; NaN where a run has none: its excess is unbounded."""
    raw = fold.cube.raw[s]
    lost = ((fold.cube.row[s] >= 0) & ~np.isfinite(raw)).any(axis=1)
    return np.where(lost[:, None], np.nan, weighted_mean(raw, fold.weights.report))
