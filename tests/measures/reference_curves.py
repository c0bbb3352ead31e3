"""The part of the slow reference that reads curves: time to target, and one exponential fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import optimize

from robustlr.specs import ReportSpec

if TYPE_CHECKING:
    from tests.measures.reference import Setting


def hit(x: Setting, run: pd.Series, target: float, column: str) -> float:
    curve = x.curves.get(run.key)
    if curve is None:
        return np.inf if run.lost else np.nan
    reached = curve[curve.valid_loss <= target]
    if reached.empty:
        return np.inf
    first = reached.iloc[0]
    return first[column] + (first.curvature_passes if column == "example_passes" else 0.0)


def median_time(times: Sequence[float]) -> float:
    known = sorted(t for t in times if not np.isnan(t))
    return known[math.ceil(len(known) / 2) - 1] if known else np.nan


def speedup(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    if not x.curves or report.baseline not in x.schedules:
        return
    base = report.baseline
    finals = x.runs[(x.runs.schedule == base) & (x.runs.lr_index == x.tune(base))]["select"]
    target = report.target if report.target is not None else float(finals.median())
    columns = {"updates": "step", "cost": "example_passes", "seconds": "wall_seconds"}
    for unit, column in columns.items():
        medians = {}
        for (s, lr), runs in x.runs.groupby(["schedule", "lr_index"]):
            times = [hit(x, run, target, column) for _, run in runs.iterrows()]
            medians[s, lr] = median_time(times) if not np.isnan(target) else np.nan
        own = medians.get((base, x.tune(base)), np.nan)
        for s in x.schedules:
            best = x.tune(s)
            for lr in x.lattice:
                if best is None or (s, lr) not in medians:
                    continue
                key = ("speedup", s, x.lattice.index(lr) - x.lattice.index(best))
                yield (*key, unit), medians[s, lr]
                yield (*key, f"speedup_{unit}"), quotient(own, medians[s, lr])


def quotient(a: float, b: float) -> float:
    if b == 0:
        return np.inf if a > 0 else np.nan
    return np.nan if math.isinf(a) and math.isinf(b) else a / b


def exponential(t: np.ndarray, loss: np.ndarray) -> tuple[float, float, float, float]:
    """(L₀, α, L∞, R²) by bounded scalar search on log α."""
    span = t[-1] - t[0]

    def fit(log_rate: float) -> tuple[np.ndarray, float]:
        design = np.stack([np.exp(-np.exp(log_rate) * t), np.ones_like(t)], axis=1)
        coefficients = np.linalg.lstsq(design, loss, rcond=None)[0]
        return coefficients, float(((loss - design @ coefficients) ** 2).sum())

    starts = np.linspace(np.log(0.1 / span), np.log(10 * (len(t) - 1) / span), 60)
    best = int(np.argmin([fit(a)[1] for a in starts]))
    bounds = starts[max(best - 1, 0)], starts[min(best + 1, len(starts) - 1)]
    found = optimize.minimize_scalar(
        lambda a: fit(a)[1], bounds=bounds, method="bounded", options={"xatol": 1e-9}
    )
    (slope, final), error = fit(found.x)
    return slope, np.exp(found.x), final, 1 - error / ((loss - loss.mean()) ** 2).sum()
