"""Time to target: when a run's validation loss first is at most the target; +inf if never.

The median over seeds is the least value that half of the runs attain; so misses take part in it
as they are, and it is +inf exactly where fewer than half of the runs reach the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustlr.measures.cube import FloatArray, IntArray
from robustlr.measures.curves import Curves


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """Position of the first evaluation at or below each target, [runs, K]; −1 for a miss,
    −2 where nothing is known (no run, or a finished run without a curve).

    rows: the runs as an array of any shape (−1: none), whose shape `times` has.
    """

    curves: Curves
    rows: IntArray
    position: IntArray

    def times(self, unit: str) -> FloatArray:
        """Time in a unit of the curves, [*rows.shape, K]: +inf for a miss, NaN where unknown."""
        at = np.where(self.position >= 0, self.position, 0)
        values = getattr(self.curves, unit)
        time = values[at] if len(values) else np.zeros(at.shape)
        time = np.where(self.position >= 0, time, np.where(self.position == -1, np.inf, np.nan))
        return time.reshape(*self.rows.shape, -1)


def arrivals(curves: Curves, rows: IntArray, diverged: np.ndarray, targets: FloatArray) -> Arrivals:
    """When the runs of `rows` reach each of the targets [K]."""
    position = np.full((rows.size, len(targets)), -1, dtype=np.int64)
    for i, (row, lost) in enumerate(zip(rows.ravel(), diverged.ravel(), strict=True)):
        if row < 0 or not (curves.count[row] or lost):
            position[i] = -2
            continue
        where = curves.run(int(row))
        best = np.minimum.accumulate(curves.loss[where])
        first = np.searchsorted(-best, -targets)
        position[i] = np.where(first < len(best), where.start + first, -1)
    return Arrivals(curves=curves, rows=rows, position=position)


def median_time(times: FloatArray, weights: FloatArray, target: IntArray) -> FloatArray:
    """Median over seeds of times [L, n, K] for weights [R, n] and each row's target [R]: [L, R].

    NaN where no weight lies on a run.
    """
    order = np.argsort(times, axis=1)  # NaN last
    ordered = np.take_along_axis(times, order, axis=1)
    counts = weights.astype(np.int16)
    out = np.empty((len(times), len(weights)))
    every = np.arange(len(weights))
    for i, (rank, value) in enumerate(zip(order, ordered, strict=True)):
        known = ~np.isnan(value)
        if known.any() and not np.isfinite(value).any():
            weight = np.where(~np.isnan(times[i, :, 0]), counts, 0).sum(axis=1)
            out[i] = np.where(weight > 0, np.inf, np.nan)
            continue
        mine = counts[every[:, None], rank.T[target]] * known.T[target]
        reached = np.cumsum(mine, axis=1, dtype=np.int16)
        total = reached[:, -1]
        first = np.argmax(2 * reached >= total[:, None], axis=1)
        out[i] = np.where(total > 0, value.T[target, first], np.nan)
    return out


def weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The usual median (mean of the middle two) of values [n] for weights [R, n]: [R].

    >>> weighted_median(np.array([3.0, 1.0, 2.0, 9.0]), np.ones((1, 4)))
    array([2.5])
    """
    known = ~np.isnan(values)
    order = np.argsort(values[known])
    ordered = values[known][order]
    reached = np.cumsum(weights[:, known][:, order], axis=1)
    if reached.shape[1] == 0:
        return np.full(len(weights), np.nan)
    half = reached[:, -1:] / 2
    lower = np.argmax(reached >= half, axis=1)
    upper = np.argmax(reached > half, axis=1)
    median = 0.5 * (ordered[lower] + ordered[upper])
    return np.where(half[:, 0] > 0, median, np.nan)
