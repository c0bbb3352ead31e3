"""Coarse-grid regret: what tuning on a coarser grid costs, and which schedule wins there.

All coarser grids come from the one that was run: at resolution r^q, every q-th learning rate,
from each of the q offsets. On each sub-grid the learning rate is chosen on validation;

    regret = value there − value of the schedule's own tuned learning rate,

its mean and worst over the offsets. Seeds are resampled, offsets are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from robustlr.measures.arrays import best_column, frame, max_known, mean_known, spread, stack, take
from robustlr.measures.cube import Cube, FloatArray, IntArray
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.schemas import REGRET_SCHEMA


@dataclass(frozen=True, kw_only=True)
class CoarseGrids:
    """Values tuned on every coarser grid: mean and worst over offsets, [S, Q, R].

    Entry q − 1 of the second axis is the resolution r^q, q = 1 … L.
    """

    mean: FloatArray
    worst: FloatArray


def chosen_on_every(select: FloatArray, every: int) -> IntArray:
    """The best column of each sub-grid of select [L, R]: [every, R], −1 where it holds no run.

    Row o is the sub-grid of columns o, o + every, …; of equals, the lowest learning rate.

    >>> chosen_on_every(np.array([[3.0], [1.0], [2.0]]), 2).tolist()
    [[2], [1]]
    """
    best = np.full((every, select.shape[1]), np.inf)
    column = np.full(best.shape, -1, dtype=np.int64)
    for start in range(0, len(select), every):
        candidates = select[start : start + every]
        part = slice(0, len(candidates))
        better = candidates < best[part]
        np.copyto(best[part], candidates, where=better)
        np.copyto(column[part], np.arange(start, start + len(candidates))[:, None], where=better)
    return column


def coarse_grids(fold: Fold) -> CoarseGrids:
    """Tune on every coarser grid the setting allows."""
    schedules, columns, rows = fold.select.shape
    mean = np.empty((schedules, columns, rows))
    worst = np.empty_like(mean)
    for s in range(schedules):
        for every in range(1, columns + 1):
            values = take(fold.report[s], chosen_on_every(fold.select[s], every))
            mean[s, every - 1] = mean_known(values, axis=0)
            worst[s, every - 1] = max_known(values, axis=0)
    return CoarseGrids(mean=mean, worst=worst)


def regret_frame(ensemble: Ensemble, grids: list[CoarseGrids]) -> pl.DataFrame:
    """REGRET_SCHEMA from the coarse grids of each fold: one row per schedule and resolution."""
    cube = ensemble.cube
    every = np.arange(1, len(cube.lr_index) + 1)
    paired = list(zip(ensemble.folds, grids, strict=True))
    winner = best_column(np.mean([grid.mean for grid in grids], axis=0), axis=0)
    rows = []
    for s in range(len(cube.schedules)):
        columns: dict[str, FloatArray] = {}
        for kind in ("mean", "worst"):
            values = [getattr(grid, kind)[s] for grid in grids]
            regrets = [v - fold.tuned_value[s] for v, (fold, _) in zip(values, paired, strict=True)]
            shares = [v / fold.range for v, (fold, _) in zip(regrets, paired, strict=True)]
            excess = [v - fold.best_value for v, (fold, _) in zip(values, paired, strict=True)]
            for name, draws in (
                (f"value_{kind}", values),
                (f"regret_{kind}", regrets),
                (f"regret_{kind}_share", shares),
                (f"excess_{kind}", excess),
            ):
                columns |= spread(name, ensemble.summary(s, np.mean(draws, axis=0)))
        won = winner == s
        rows.append(
            frame(
                REGRET_SCHEMA,
                **ensemble.head(s),
                every=every,
                resolution=resolutions(cube),
                runs=runs_needed(cube, every),
                offsets=_offsets(cube, s),
                winner=won[:, 0],
                winner_share=won[:, 1 : 1 + ensemble.plan.resamples].mean(axis=1)
                if ensemble.plan.resamples
                else np.full(len(every), np.nan),
                **columns,
            )
        )
    return stack(REGRET_SCHEMA, rows)


def resolutions(cube: Cube) -> FloatArray:
    """Ratio of neighbours on every q-th learning rate, q = 1 … L: r^q."""
    return np.asarray(cube.ratio ** np.arange(1, len(cube.lr_index) + 1))


def runs_needed(cube: Cube, every: IntArray) -> IntArray:
    """Learning rates that every q-th point of the setting's grid has at most: ⌈L/q⌉."""
    return np.asarray(-(-len(cube.lr_index) // every))


def _offsets(cube: Cube, s: int) -> IntArray:
    """How many offsets hold a run of the schedule, for q = 1 … L."""
    columns = cube.columns(s)
    return np.array([len(np.unique(columns % q)) for q in range(1, len(cube.lr_index) + 1)])
