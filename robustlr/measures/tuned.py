"""The tuned learning rate of every schedule, and the spread over seeds at every learning rate.

η*_s = argmin_η mean_k valid_loss(s, η, k),     value_s = mean_k value(s, η*_s, k)
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from robustlr.measures.arrays import frame, spread, stack, take
from robustlr.measures.cube import FloatArray
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.resampling import weighted_mean
from robustlr.measures.schemas import PER_LR_SCHEMA, TUNED_SCHEMA


def interquartile_mean(values: FloatArray) -> float:
    """Mean without the lowest and the highest quarter (25 % trimmed; rliable's IQM).

    >>> interquartile_mean(np.array([0.0, 1.0, 2.0, 99.0]))
    1.5
    """
    return float(stats.trim_mean(values, 0.25))


def tuned_frame(ensemble: Ensemble) -> pl.DataFrame:
    """TUNED_SCHEMA: one row per schedule."""
    cube, plain = ensemble.cube, ensemble.plain
    rows = []
    for s in range(len(cube.schedules)):
        column = int(ensemble.tuned[s])
        values = _known(cube.report[s, column])
        metric = weighted_mean(cube.metric_value[s], ensemble.plan.plain.report)
        side = ensemble.edge_side(s)
        rows.append(
            frame(
                TUNED_SCHEMA,
                **ensemble.head(s),
                lr_index=int(cube.lr_index[column]),
                edge_side=side,
                at_chance=bool(cube.at_chance[s]),
                seeds=len(values),
                valid_loss=plain.select[s, column, 0],
                value_iqm=interquartile_mean(values),
                value_std=_std(values),
                best=s == ensemble.best,
                divergence_rate=cube.divergence_rate[s, column],
                chance=cube.chance,
                optimum=cube.optimum,
                metric=cube.metric,
                **spread("peak_lr", ensemble.summary(s, cube.peak_lr[plain.tuned[s]])),
                **spread("value", ensemble.summary(s, ensemble.average(_tuned_value, s))),
                **spread("test_metric", ensemble.summary(s, take(metric, plain.tuned[s]))),
                **spread("excess_over_best", ensemble.summary(s, ensemble.average(_excess, s))),
            )
        )
    return stack(TUNED_SCHEMA, rows)


def per_lr_frame(ensemble: Ensemble) -> pl.DataFrame:
    """PER_LR_SCHEMA: one row per schedule and learning rate."""
    cube, plain = ensemble.cube, ensemble.plain
    rows = []
    for s, name in enumerate(cube.schedules):
        columns = cube.columns(s)
        spreads = [_known(cube.report[s, column]) for column in columns]
        rows.append(
            frame(
                PER_LR_SCHEMA,
                setting=cube.setting,
                schedule=name,
                lr_index=cube.lr_index[columns],
                peak_lr=cube.peak_lr[columns],
                seeds=cube.runs[s, columns],
                valid_loss=plain.select[s, columns, 0],
                value_std=np.array([_std(v) for v in spreads]),
                value_min=np.array([v.min() for v in spreads]),
                value_max=np.array([v.max() for v in spreads]),
                value_quarter=np.array([np.quantile(v, 0.25) for v in spreads]),
                value_three_quarters=np.array([np.quantile(v, 0.75) for v in spreads]),
                divergence_rate=cube.divergence_rate[s, columns],
                tuned=columns == ensemble.tuned[s],
                **spread("value", ensemble.summary(s, plain.report[s, columns])),
            )
        )
    return stack(PER_LR_SCHEMA, rows)


def _tuned_value(fold: Fold, s: int) -> FloatArray:
    return np.asarray(fold.tuned_value[s])


def _excess(fold: Fold, s: int) -> FloatArray:
    return np.asarray(fold.tuned_value[s] - fold.best_value)


def _known(values: FloatArray) -> FloatArray:
    return values[~np.isnan(values)]


def _std(values: FloatArray) -> float:
    """Standard deviation of a sample; NaN for a single value."""
    if len(values) < 2:
        return np.nan
    _, exponent = np.frexp(np.abs(values).max())  # squares of the largest numbers are none
    return float(np.ldexp(np.ldexp(values, -exponent).std(ddof=1), exponent))
