"""Learning-rate sensitivity (Wortsman et al. 2023, arXiv 2309.14322).

    S = E_{log η ∈ [a, b]} [min(value(η), value at initialisation)] − value(η*)

The mean is an integral over log η (trapezoids between the grid points that were run). A fixed
window flatters a schedule whose optimum lies elsewhere; so there are two: three decades centred
on the schedule's own tuned learning rate, chosen anew in every resample, and the learning rates
that all schedules have in common.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from robustlr.measures.arrays import best_column, frame, spread, stack, take
from robustlr.measures.cube import FloatArray, IntArray
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.resampling import weighted_mean
from robustlr.measures.schemas import SENSITIVITY_SCHEMA

DECADES = 3.0
"""Width of a schedule's own window."""

_SLACK = 1e-9


def sensitivity_frame(ensemble: Ensemble) -> pl.DataFrame:
    """SENSITIVITY_SCHEMA: two rows per schedule."""
    cube = ensemble.cube
    rows = []
    for s in range(len(cube.schedules)):
        columns = cube.columns(s)
        for window, (first, last) in (
            ("own", _own_window(cube.log_lr[columns], _position(columns, ensemble.tuned[s][None]))),
            ("common", _common_window(ensemble, s)),
        ):
            own = ensemble.average(_draws, ensemble, s, window, "own")
            best = ensemble.average(_draws, ensemble, s, window, "best")
            exists = bool(last[0] >= first[0])
            ends = cube.log_lr[columns[[first[0], last[0]]]] if exists else np.full(2, np.nan)
            rows.append(
                frame(
                    SENSITIVITY_SCHEMA,
                    **ensemble.head(s),
                    window=window,
                    low_lr=10.0 ** ends[0],
                    high_lr=10.0 ** ends[1],
                    decades=ends[1] - ends[0],
                    **spread("sensitivity", ensemble.summary(s, own)),
                    **spread("excess_over_best", ensemble.summary(s, best)),
                )
            )
    return stack(SENSITIVITY_SCHEMA, rows)


def window_mean(
    values: FloatArray, log_lr: FloatArray, first: IntArray, last: IntArray
) -> FloatArray:
    """Mean over log η of values [L, R] from column first to last (both included): [R].

    >>> window_mean(np.array([[0.0], [1.0], [1.0]]), np.arange(3.0), np.array([0]), np.array([2]))
    array([0.75])
    """
    rows = np.arange(values.shape[1])
    areas = 0.5 * (values[1:] + values[:-1]) * np.diff(log_lr)[:, None]
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(areas, axis=0)])
    width = log_lr[last] - log_lr[first]
    area = total[last, rows] - total[first, rows]
    return np.where(last > first, area / np.where(width > 0, width, 1.0), values[first, rows])


def _draws(fold: Fold, ensemble: Ensemble, s: int, window: str, reference: str) -> FloatArray:
    cube = ensemble.cube
    columns = cube.columns(s)
    capped = np.minimum(cube.report[s, columns], cube.initial[s, columns])
    means = weighted_mean(capped, fold.weights.report)
    if window == "own":
        tuned = _position(columns, fold.tuned[s])
        first, last = _own_window(cube.log_lr[columns], tuned)
        own_value = fold.tuned_value[s]
    else:
        first, last = _common_window(ensemble, s)
        if last[0] < first[0]:
            return np.full(means.shape[1], np.nan)
        inside = slice(first[0], last[0] + 1)
        chosen = columns[inside][best_column(fold.select[s, columns[inside]], axis=0)]
        own_value = take(fold.report[s], chosen)
        first, last = (np.broadcast_to(end, means.shape[1]) for end in (first, last))
    average = window_mean(means, cube.log_lr[columns], first, last)
    return average - (own_value if reference == "own" else fold.best_value)


def _position(columns: IntArray, tuned: IntArray) -> IntArray:
    """Place among the schedule's columns of each tuned column."""
    return np.asarray(np.searchsorted(columns, tuned))


def _own_window(log_lr: FloatArray, tuned: IntArray) -> tuple[IntArray, IntArray]:
    centre = log_lr[tuned]
    first = np.searchsorted(log_lr, centre - DECADES / 2 - _SLACK)
    last = np.searchsorted(log_lr, centre + DECADES / 2 + _SLACK, side="right") - 1
    return first, last


def _common_window(ensemble: Ensemble, s: int) -> tuple[IntArray, IntArray]:
    """Places of the first and last of the schedule's columns within every schedule's range."""
    ranges = [ensemble.cube.columns(other)[[0, -1]] for other in range(len(ensemble.tuned))]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    columns = ensemble.cube.columns(s)
    first = np.searchsorted(columns, [low])
    last = np.searchsorted(columns, [high], side="right") - 1
    return first, last
