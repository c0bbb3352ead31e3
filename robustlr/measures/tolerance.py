"""How coarse a grid, and how wide a basin, a schedule tolerates at a loss of ε.

    loses at most ε·(chance − best):   the worst offset, at this resolution and all finer ones;
                                       the learning rates around the optimum

against the schedule's own tuned value ("own") and against the best schedule's ("best").
"""

from __future__ import annotations

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame, spread, stack
from robustlr.measures.cube import FloatArray, IntArray
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.regret import CoarseGrids, runs_needed
from robustlr.measures.schemas import TOLERANCE_SCHEMA


def tolerance_frame(
    ensemble: Ensemble, grids: list[CoarseGrids], *, epsilon: float, baseline: str
) -> pl.DataFrame:
    """TOLERANCE_SCHEMA: two rows per schedule."""
    cube = ensemble.cube
    width = len(cube.lr_index)
    base = cube.schedules.index(baseline) if baseline in cube.schedules else None
    rows = []
    for reference in ("own", "best"):
        allowed = epsilon * ensemble.average(_range)
        worst = np.mean(
            [
                grid.worst - _reference(fold, reference)[:, None]
                for fold, grid in zip(ensemble.folds, grids, strict=True)
            ],
            axis=0,
        )
        every = coarsest(worst, allowed)
        runs = np.where(every > 0, runs_needed(cube, np.maximum(every, 1)), np.nan)
        resolution = np.where(every > 0, cube.ratio**every, np.nan)
        for s in range(len(cube.schedules)):
            chosen = int(every[s, 0])
            sides = ensemble.average(_basin, s, reference, epsilon)
            low, high = sides[0], sides[1]
            columns = cube.columns(s)
            claims = base is not None and not (ensemble.edge_side(s) or ensemble.edge_side(base))
            saved = runs[base] - runs[s] if claims else np.full(runs.shape[1], np.nan)
            reaches = np.isin(
                cube.log_lr[columns[[0, -1]]], [low[0], high[0]]
            ).any() and not np.isnan(low[0])
            rows.append(
                frame(
                    TOLERANCE_SCHEMA,
                    **ensemble.head(s),
                    reference=reference,
                    epsilon=epsilon,
                    epsilon_loss=allowed[0],
                    every=chosen or None,
                    loses_at_most=worst[s, chosen - 1, 0] if chosen else np.nan,
                    whole_grid=chosen == width,
                    basin_low_lr=10.0 ** low[0],
                    basin_high_lr=10.0 ** high[0],
                    basin_censored=bool(reaches),
                    **spread("resolution", ensemble.summary(s, resolution[s])),
                    **spread("runs", ensemble.summary(s, runs[s])),
                    **spread("runs_saved", ensemble.summary(s, saved)),
                    **spread("basin_decades", ensemble.summary(s, _width(low, high, allowed))),
                )
            )
    order = {name: i for i, name in enumerate(cube.schedules)}
    table = stack(TOLERANCE_SCHEMA, rows)
    return table.sort(pl.col("schedule").replace_strict(order), maintain_order=True)


def coarsest(worst: FloatArray, allowed: FloatArray) -> IntArray:
    """Largest q with worst[..., :q, R] ≤ allowed throughout, 0 if none: [..., R]."""
    fits = np.logical_and.accumulate(worst <= allowed, axis=-2)
    return np.asarray(fits.sum(axis=-2))


def basin(
    excess: FloatArray, log_lr: FloatArray, tuned: IntArray, allowed: FloatArray
) -> FloatArray:
    """log₁₀ of the basin's ends, [2, R], for excess [L, R]: NaN where the tuned point is outside.

    The learning rates around the tuned one with excess ≤ allowed; between the last grid point
    inside and the first outside, the crossing is interpolated.
    """
    rows = np.arange(excess.shape[1])
    inside = excess <= allowed
    ends = []
    for direction in (-1, 1):
        order = np.arange(len(excess))[:, None]
        beyond = ~inside & ((order - tuned) * direction > 0)
        if direction < 0:
            outer = len(excess) - 1 - np.argmax(beyond[::-1], axis=0)
        else:
            outer = np.argmax(beyond, axis=0)
        inner = np.clip(outer - direction, 0, len(excess) - 1)
        rise = excess[outer, rows] - excess[inner, rows]
        usable = beyond.any(axis=0) & (rise > 0)
        share = (allowed - excess[inner, rows]) / np.where(usable, rise, 1.0)
        crossing = log_lr[inner] + share * (log_lr[outer] - log_lr[inner])
        ends.append(np.where(usable, crossing, log_lr[-1 if direction > 0 else 0]))
    held = inside[tuned, rows]
    return np.where(held, np.stack(ends), np.nan)


def _range(fold: Fold) -> FloatArray:
    return fold.range


def _basin(fold: Fold, s: int, reference: str, epsilon: float) -> FloatArray:
    columns = fold.cube.columns(s)
    excess = fold.report[s, columns] - _reference(fold, reference)[s]
    tuned = np.searchsorted(columns, fold.tuned[s])
    return basin(excess, fold.cube.log_lr[columns], tuned, epsilon * fold.range)


def _reference(fold: Fold, reference: str) -> FloatArray:
    """Values to lose against, [S, R]."""
    if reference == "own":
        return fold.tuned_value
    return np.broadcast_to(fold.best_value, fold.tuned_value.shape)


def _width(low: FloatArray, high: FloatArray, allowed: FloatArray) -> FloatArray:
    """Decades; 0 where even the tuned learning rate loses more, NaN where ε has no unit."""
    width = np.where(np.isnan(low), 0.0, high - low)
    return np.where(np.isnan(allowed), np.nan, width)
