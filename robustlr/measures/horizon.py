"""How results at the tuned learning rate fall with the horizon T.

    excess(T) ~ T^rate,     min_t ‖g_t‖² ~ T^rate,     rate = −1/2 in theory

g_t is the gradient of an update's batch, where it was logged: the theory speaks of ∇L(x_t), which
has no noise of the batch to keep it from falling.

Settings that differ in num_steps only form a family. The rate is the slope of log against log T,
drawn for every resample: the same seeds are resampled at all horizons.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame, spread, stack, take
from robustlr.measures.cube import FloatArray
from robustlr.measures.curves import Curves
from robustlr.measures.ensemble import Ensemble, Fold
from robustlr.measures.misspecification import slopes, unclipped
from robustlr.measures.resampling import weighted_mean
from robustlr.measures.schemas import HORIZON_SCHEMA, RATE_SCHEMA

QUANTITIES = ("excess", "min_grad_norm_squared")


def horizon_frames(ensembles: list[Ensemble], curves: Curves) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(RATE_SCHEMA, HORIZON_SCHEMA) of the families with at least two horizons."""
    families: dict[str, list[Ensemble]] = defaultdict(list)
    for ensemble in ensembles:
        families[ensemble.cube.family].append(ensemble)
    rates, points = [], []
    for family, members in families.items():
        members = sorted(members, key=lambda e: e.cube.num_steps)
        names = list(dict.fromkeys(name for e in members for name in e.cube.schedules))
        for name in names:
            having = [e for e in members if name in e.cube.schedules]
            horizons = np.array([e.cube.num_steps for e in having])
            if len(np.unique(horizons)) < 2:
                continue
            edges = [e.edge_side(e.cube.schedules.index(name)) is not None for e in having]
            seeds = min(int(e.cube.seeds[e.cube.schedules.index(name)]) for e in having)
            for quantity in QUANTITIES:
                draws = np.stack([_draws(e, name, quantity, curves) for e in having])
                if np.isnan(draws[:, 0]).all():
                    continue
                summary = having[0].plan.summary
                points.append(
                    frame(
                        HORIZON_SCHEMA,
                        setting=family,
                        schedule=name,
                        quantity=quantity,
                        num_steps=horizons,
                        edge=edges,
                        **spread("value", summary(draws, seeds)),
                    )
                )
                rates.append(
                    frame(
                        RATE_SCHEMA,
                        setting=family,
                        schedule=name,
                        quantity=quantity,
                        horizons=len(horizons),
                        shortest=int(horizons[0]),
                        longest=int(horizons[-1]),
                        edge=any(edges),
                        **spread("rate", summary(fall(horizons, draws), seeds)),
                    )
                )
    return stack(RATE_SCHEMA, rates), stack(HORIZON_SCHEMA, points)


def fall(horizons: np.ndarray, values: FloatArray) -> FloatArray:
    """Slope of log values [horizons, R] against log T; NaN unless every value is positive.

    >>> fall(np.array([100, 400]), np.array([[2.0], [1.0]]))
    array([-0.5])
    """
    used = np.broadcast_to((values > 0).all(axis=0), values.shape)
    x = np.broadcast_to(np.log10(horizons)[:, None], values.shape)
    return slopes(x, np.log10(np.where(used, values, 1.0)), used)


def _draws(ensemble: Ensemble, name: str, quantity: str, curves: Curves) -> FloatArray:
    """The quantity at the schedule's tuned learning rate, [R]."""
    s = ensemble.cube.schedules.index(name)
    return ensemble.average(_excess if quantity == "excess" else _min_gradient, s, curves)


def _excess(fold: Fold, s: int, curves: Curves) -> FloatArray:
    return take(unclipped(fold, s) - fold.cube.optimum, fold.tuned[s])


def _min_gradient(fold: Fold, s: int, curves: Curves) -> FloatArray:
    per_run = fold.cube.scattered(curves.min_grad_norm_squared)[s]
    return take(weighted_mean(per_run, fold.weights.report), fold.tuned[s])
