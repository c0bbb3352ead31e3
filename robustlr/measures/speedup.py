"""Training-time speedup over the baseline schedule, tuned and misspecified.

    target    = median final validation loss of the baseline at its tuned learning rate, or given
    speedup_s(ρ) = median time of the baseline at η*_base / median time of s at ρη*_s

Target, tuned learning rates and medians are found anew in every resample. Cross-fitting takes no
part here: the target is a validation loss, and learning rates are chosen by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame, spread, stack, take
from robustlr.measures.cube import Cube, FloatArray
from robustlr.measures.curves import UNITS, Curves
from robustlr.measures.ensemble import Ensemble
from robustlr.measures.schemas import SPEEDUP_SCHEMA
from robustlr.measures.time_to_target import arrivals, median_time, weighted_median
from robustlr.specs import ReportSpec


@dataclass(frozen=True, kw_only=True)
class Times:
    """Median times to target of one setting; NaN where nothing is known.

    target: [R]. times: by unit, [S, L, R]. evaluation: medians of the evaluation passes until
    then, [S, L]. hit_rate: share of the runs that reach the target, [S, L].
    """

    target: FloatArray
    times: dict[str, FloatArray]
    evaluation: FloatArray
    hit_rate: FloatArray

    def tuned(self, ensemble: Ensemble, unit: str) -> FloatArray:
        """At each schedule's tuned learning rate, [S, R]."""
        pairs = zip(self.times[unit], ensemble.plain.tuned, strict=True)
        return np.stack([take(times, tuned) for times, tuned in pairs])


def times_to_target(ensemble: Ensemble, curves: Curves, report: ReportSpec) -> Times | None:
    """None where there is no target (no baseline and none given) or no run has a curve."""
    cube, weights = ensemble.cube, ensemble.plan.plain.report
    target = _targets(ensemble, report)
    if target is None or not curves.count[cube.row[cube.row >= 0]].any():
        return None
    distinct, which = np.unique(target, return_inverse=True)
    times: dict[str, list[FloatArray]] = {unit: [] for unit in UNITS}
    evaluation, hit_rate = [], []
    for rows, diverged in zip(cube.row, cube.diverged, strict=True):
        reached = arrivals(curves, rows, diverged, distinct)
        for unit in UNITS:
            medians = median_time(reached.times(unit), weights, which)
            times[unit].append(np.where(np.isnan(target), np.nan, medians))
        spent = reached.times("evaluation")
        evaluation.append(median_time(spent, weights[:1], which[:1])[:, 0])
        first = spent[..., which[0]]
        known = (~np.isnan(first)).sum(axis=1)
        share = np.isfinite(first).sum(axis=1) / np.maximum(known, 1)
        hit_rate.append(np.where(known > 0, share, np.nan))
    return Times(
        target=target,
        times={unit: np.stack(arrays) for unit, arrays in times.items()},
        evaluation=np.stack(evaluation),
        hit_rate=np.stack(hit_rate),
    )


def speedup_frame(ensemble: Ensemble, times: Times, report: ReportSpec) -> pl.DataFrame:
    """SPEEDUP_SCHEMA: one row per schedule and grid point."""
    cube = ensemble.cube
    rows = []
    for s in range(len(cube.schedules)):
        columns = cube.columns(s)
        shifts = columns - ensemble.tuned[s]
        measured: dict[str, FloatArray] = {}
        for unit in UNITS:
            own = take(times.times[unit][s], ensemble.plain.tuned[s] + shifts[:, None])
            measured |= spread(unit, ensemble.summary(s, own, expand=False))
            if report.baseline in cube.schedules:
                base = times.tuned(ensemble, unit)[cube.schedules.index(report.baseline)]
                measured |= spread(
                    f"speedup_{unit}", ensemble.summary(s, ratio(base, own), expand=False)
                )
        rows.append(
            frame(
                SPEEDUP_SCHEMA,
                **ensemble.head(s),
                **ensemble.grid_points(s),
                target=times.target[0],
                seeds=cube.runs[s, columns],
                hit_rate=times.hit_rate[s, columns],
                evaluation_cost=times.evaluation[s, columns],
                **measured,
            )
        )
    return stack(SPEEDUP_SCHEMA, rows)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient of times: 0 over a miss, NaN for ∞/∞ and 0/0.

    >>> ratio(np.array([6.0, 6.0, np.inf]), np.array([3.0, np.inf, np.inf]))
    array([ 2.,  0., nan])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator)


def speedup_notes(cube: Cube, times: Times | None, curves: Curves) -> list[str]:
    """What is to be said about the time to target, in sentences."""
    rows = cube.row[cube.row >= 0]
    bare = int(((curves.count[rows] == 0) & ~cube.diverged[cube.row >= 0]).sum())
    if bare == len(rows) - int(cube.diverged.sum()):
        return ["there are no curves of the validation loss: no time to target"]
    notes = []
    if bare:
        notes.append(f"{bare} finished runs have no curve: they take no part in time to target")
    if times is None:
        return notes
    if not (times.hit_rate > 0).any():
        notes.append(f"no run reaches the target ({times.target[0]:.4g}): every time is infinite")
    elif times.target[0] >= cube.chance_loss:
        notes.append("the target is no better than chance: time to target says nothing")
    return notes


def _targets(ensemble: Ensemble, report: ReportSpec) -> FloatArray | None:
    cube, weights = ensemble.cube, ensemble.plan.plain.report
    if report.target is not None:
        return np.full(len(weights), report.target)
    if report.baseline not in cube.schedules:
        return None
    base = cube.schedules.index(report.baseline)
    tuned = ensemble.plain.tuned[base]
    target = np.empty(len(weights))
    for column in np.unique(tuned):
        chosen = tuned == column
        target[chosen] = weighted_median(cube.select[base, column], weights[chosen])
    return target
