"""Means over seeds of one setting, for the seeds as they are and for every resample.

Tuning is part of the estimator: the learning rate is chosen anew in every row of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from robustlr.measures.arrays import best_column, take
from robustlr.measures.cube import Cube, FloatArray, IntArray
from robustlr.measures.resampling import Plan, Weights, weighted_mean


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Choosing with one part of the seeds, reporting with another (or the same).

    select: mean validation loss, what is chosen by. report: mean of what is reported.
    Both [S, L, R], NaN where a schedule has no run.
    """

    cube: Cube
    weights: Weights
    select: FloatArray
    report: FloatArray

    @classmethod
    def of(cls, cube: Cube, weights: Weights) -> Fold:
        return cls(
            cube=cube,
            weights=weights,
            select=weighted_mean(cube.select, weights.select),
            report=weighted_mean(cube.report, weights.report),
        )

    @cached_property
    def tuned(self) -> IntArray:
        """Column of the tuned learning rate, [S, R]: the least mean validation loss."""
        return best_column(self.select, axis=1)

    @cached_property
    def tuned_value(self) -> FloatArray:
        """What is reported at the tuned learning rate, [S, R]."""
        return np.stack([take(r, t) for r, t in zip(self.report, self.tuned, strict=True)])

    @cached_property
    def best_schedule(self) -> IntArray:
        """The schedule of least tuned validation loss, [R]."""
        chosen = [take(s, t) for s, t in zip(self.select, self.tuned, strict=True)]
        return best_column(np.stack(chosen), axis=0)

    @cached_property
    def best_value(self) -> FloatArray:
        """What the best schedule reports at its tuned learning rate, [R]."""
        return take(self.tuned_value, self.best_schedule)

    @cached_property
    def range(self) -> FloatArray:
        """Chance minus the best, the unit of ε, [R]; NaN where nothing beats chance."""
        gap = self.cube.chance - self.best_value
        return np.where(gap > 0, gap, np.nan)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """One setting, its resampling plan and the folds that values are averaged over.

    plain: every seed chooses and reports; what learning rates are shown by.
    tuned, best: column of each schedule's tuned learning rate [S], and the best schedule.
    """

    cube: Cube
    plan: Plan
    plain: Fold
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, cube: Cube, plan: Plan) -> Ensemble:
        plain = Fold.of(cube, plan.plain)
        crossed = len(plan.folds) > 1
        folds = tuple(Fold.of(cube, weights) for weights in plan.folds) if crossed else (plain,)
        return cls(cube=cube, plan=plan, plain=plain, folds=folds)

    @cached_property
    def tuned(self) -> IntArray:
        return self.plain.tuned[:, 0]

    @property
    def best(self) -> int:
        return int(self.plain.best_schedule[0])

    def average(self, measure: Callable[..., FloatArray], *arguments: object) -> FloatArray:
        """Draws of measure(fold, *arguments), the mean over folds."""
        draws = [measure(fold, *arguments) for fold in self.folds]
        return draws[0] if len(draws) == 1 else np.mean(draws, axis=0)

    def summary(
        self, schedule: int, draws: FloatArray, *, expand: bool = True
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(value, low, high) of a schedule's draws [..., R]; see `Plan.summary`."""
        return self.plan.summary(draws, int(self.cube.seeds[schedule]), expand=expand)

    def edge_side(self, schedule: int) -> str | None:
        """Where the tuned learning rate is the last on its side of the schedule's grid."""
        columns = self.cube.columns(schedule)
        if len(columns) == 1:
            return "only"
        ends = {int(columns[0]): "low", int(columns[-1]): "high"}
        return ends.get(int(self.tuned[schedule]))

    def grid_points(self, schedule: int) -> dict[str, FloatArray | IntArray]:
        """Where the learning rates of a schedule stand, also relative to its tuned one."""
        columns = self.cube.columns(schedule)
        tuned = self.tuned[schedule]
        return {
            "shift": columns - tuned,
            "rho": np.asarray(10.0 ** (self.cube.log_lr[columns] - self.cube.log_lr[tuned])),
            "lr_index": self.cube.lr_index[columns],
            "peak_lr": self.cube.peak_lr[columns],
        }

    def head(self, schedule: int) -> dict[str, object]:
        """The leading columns of a schedule's rows, and its edge flag."""
        return {
            "setting": self.cube.setting,
            "schedule": self.cube.schedules[schedule],
            "edge": self.edge_side(schedule) is not None,
        }
