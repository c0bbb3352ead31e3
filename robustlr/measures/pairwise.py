"""Does schedule A beat schedule B, both tuned on the same coarse grid?

    probability = mean over offsets o of  P_k[value_A(η_A(o), k) < value_B(η_B(o), k)]

paired by seed k, ties half; η_s(o) is what the schedule chooses on the sub-grid of offset o, anew
in every resample. The difference of values is averaged in the same way, and tested by flipping
the signs of the per-seed differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame, mean_known, spread, stack, take
from robustlr.measures.cube import BoolArray, Cube, FloatArray, IntArray
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.regret import chosen_on_every
from robustlr.measures.schemas import PAIRWISE_SCHEMA
from robustlr.measures.sign_flip import sign_flip_test

_EVERY_UP_TO = 16  # all resolutions up to here, then steps of about √2: pairs are many


def resolutions_compared(columns: int) -> list[int]:
    """The resolutions r^q at which pairs are compared, on a grid of that many columns.

    >>> resolutions_compared(40)[14:]
    [15, 16, 23, 32, 40]
    """
    coarser = [round(_EVERY_UP_TO * 2 ** (i / 2)) for i in range(1, 40)]
    chosen = [*range(1, _EVERY_UP_TO + 1), *coarser]
    return [every for every in chosen if every < columns] + [columns]


@dataclass(frozen=True, kw_only=True)
class _Choices:
    """Columns chosen on every sub-grid of every resolution [O, R] by one schedule of a fold, and
    what is reported there. The offsets of a resolution follow each other."""

    fold: Fold
    schedule: int
    column: IntArray
    value: FloatArray

    @classmethod
    def of(cls, fold: Fold, schedule: int, resolutions: list[int]) -> _Choices:
        select = fold.select[schedule]
        column = np.concatenate([chosen_on_every(select, every) for every in resolutions])
        value = take(fold.report[schedule], column)
        return cls(fold=fold, schedule=schedule, column=column.astype(np.int32), value=value)


def pairwise_frame(ensemble: Ensemble, *, baseline: str) -> pl.DataFrame:
    """PAIRWISE_SCHEMA: one row per pair of schedules and resolution."""
    cube = ensemble.cube
    resolutions = resolutions_compared(len(cube.lr_index))
    offsets = np.repeat(np.arange(len(resolutions)), resolutions)
    choices = [
        [_Choices.of(fold, s, resolutions) for fold in ensemble.folds]
        for s in range(len(cube.schedules))
    ]
    rows = []
    for first, second in combinations(range(len(cube.schedules)), 2):
        a, b = (second, first) if cube.schedules[first] == baseline else (first, second)
        pairs = list(zip(choices[a], choices[b], strict=True))
        difference = np.mean([_by_resolution(x.value - y.value, offsets) for x, y in pairs], axis=0)
        probability = np.mean([_by_resolution(_wins(x, y), offsets) for x, y in pairs], axis=0)
        p_value, least = sign_flip_test(_per_seed(pairs, offsets))
        seeds = min(cube.seeds[a], cube.seeds[b])
        summary = ensemble.plan.summary
        rows.append(
            frame(
                PAIRWISE_SCHEMA,
                setting=cube.setting,
                schedule=cube.schedules[a],
                other=cube.schedules[b],
                every=resolutions,
                resolution=cube.ratio ** np.array(resolutions),
                confidence=_confidence(difference[:, 1 : 1 + ensemble.plan.resamples]),
                p_value=p_value,
                smallest_p_value=least,
                edge=ensemble.edge_side(a) is not None or ensemble.edge_side(b) is not None,
                **spread("difference", summary(difference, int(seeds))),
                **spread("probability", summary(probability, int(seeds))),
            )
        )
    return stack(PAIRWISE_SCHEMA, rows)


def win_table(a: FloatArray, b: FloatArray) -> tuple[FloatArray, BoolArray]:
    """(1 where a < b, ½ for ties, 0 otherwise or unpaired; where both are known)."""
    known = ~(np.isnan(a) | np.isnan(b))
    wins = np.where(a < b, 1.0, 0.0) + np.where(a == b, 0.5, 0.0)
    return np.where(known, wins, 0.0), known


def _wins(a: _Choices, b: _Choices) -> FloatArray:
    """Share of the seeds' weight with which a beats b, for each offset: [O, R].

    Few pairs of columns occur among all resamples: each is weighed once, then looked up.
    """
    cube, weights = a.fold.cube, a.fold.weights.report
    width = len(cube.lr_index)
    chosen = (a.column >= 0) & (b.column >= 0)
    code = np.where(chosen, a.column * width + b.column, width * width)
    occurs = np.zeros(width * width + 1, dtype=bool)
    occurs[code] = True
    codes = np.flatnonzero(occurs[:-1])
    position = np.full(len(occurs), len(codes), dtype=np.int32)
    position[codes] = np.arange(len(codes), dtype=np.int32)
    wins, known = win_table(
        cube.report[a.schedule, codes // width], cube.report[b.schedule, codes % width]
    )
    share = np.full((len(codes) + 1, len(weights)), np.nan)  # the last: no pair
    everyone = weights.sum(axis=1)
    total = everyone[None] if known.all() else known.astype(np.float64) @ weights.T
    np.divide(wins @ weights.T, total, out=share[:-1], where=total > 0)
    return share[position[code], np.arange(len(weights))]


def _by_resolution(values: FloatArray, offsets: IntArray) -> FloatArray:
    """Mean over the offsets of each resolution, [Q, ...] from [O, ...]."""
    starts = np.flatnonzero(np.diff(offsets, prepend=-1))
    parts = np.split(values, starts[1:])
    return np.stack([mean_known(part, axis=0) for part in parts])


def _per_seed(pairs: list[tuple[_Choices, _Choices]], offsets: IntArray) -> FloatArray:
    """Difference of each seed at the choices of the seeds as they are, mean over offsets [Q, n].

    With cross-fitting each seed is judged where the other half of the seeds chose.
    """
    total = np.full((int(offsets[-1]) + 1, pairs[0][0].fold.cube.row.shape[2]), np.nan)
    for a, b in pairs:
        cube, mine = a.fold.cube, a.fold.weights.report[0] > 0
        x, y = (_runs_at(cube, c) for c in (a, b))
        total = np.where(mine, _by_resolution(x - y, offsets), total)
    return total


def _runs_at(cube: Cube, choices: _Choices) -> FloatArray:
    column = choices.column[:, 0]
    return np.where((column >= 0)[:, None], cube.report[choices.schedule, column], np.nan)


def _confidence(body: FloatArray) -> FloatArray:
    """Share of the resamples with a negative difference, ties half."""
    known = ~np.isnan(body)
    count = known.sum(axis=1)
    below = (body < 0).sum(axis=1) + 0.5 * (body == 0).sum(axis=1)
    return np.where(count > 0, below / np.maximum(count, 1), np.nan)
