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
from robustlr.measures.cube import Cube, FloatArray, IntArray
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
        centre = np.searchsorted(columns, ensemble.tuned[s])
        windows = (_own_window(cube.log_lr[columns], centre[None]), _common_window(cube, s))
        draws = ensemble.average(_draws, s)
        for name, (first, last), (own, best) in zip(("own", "common"), windows, draws, strict=True):
            exists = bool(last[0] >= first[0])
            ends = cube.log_lr[columns[[first[0], last[0]]]] if exists else np.full(2, np.nan)
            rows.append(
                frame(
                    SENSITIVITY_SCHEMA,
                    **ensemble.head(s),
                    window=name,
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


def _draws(fold: Fold, s: int) -> FloatArray:
    """[own and common window, over the own and the best tuned value, R]."""
    cube = fold.cube
    columns = cube.columns(s)
    log_lr = cube.log_lr[columns]
    capped = np.minimum(cube.report[s, columns], cube.initial[s, columns])
    means = weighted_mean(capped, fold.weights.report)
    tuned = np.searchsorted(columns, fold.tuned[s])
    own = window_mean(means, log_lr, *_own_window(log_lr, tuned))
    common, value = np.full((2, len(own)), np.nan)
    first, last = (np.broadcast_to(end, own.shape) for end in _common_window(cube, s))
    if last[0] >= first[0]:
        inside = columns[first[0] : last[0] + 1]
        value = take(fold.report[s], inside[best_column(fold.select[s, inside], axis=0)])
        common = window_mean(means, log_lr, first, last)
    return np.array(
        [
            [own - fold.tuned_value[s], own - fold.best_value],
            [common - value, common - fold.best_value],
        ]
    )


def _own_window(log_lr: FloatArray, tuned: IntArray) -> tuple[IntArray, IntArray]:
    centre = log_lr[tuned]
    first = np.searchsorted(log_lr, centre - DECADES / 2 - _SLACK)
    last = np.searchsorted(log_lr, centre + DECADES / 2 + _SLACK, side="right") - 1
    return first, last


def _common_window(cube: Cube, s: int) -> tuple[IntArray, IntArray]:
    """Places of the first and last of the schedule's columns within every schedule's range."""
    ranges = [cube.columns(other)[[0, -1]] for other in range(len(cube.schedules))]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    columns = cube.columns(s)
    first = np.searchsorted(columns, [low])
    last = np.searchsorted(columns, [high], side="right") - 1
    return first, last
