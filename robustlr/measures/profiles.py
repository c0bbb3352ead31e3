"""Performance profiles and the AlgoPerf score over settings (Dahl et al. 2023, arXiv 2306.07179).

    r_{s,w} = t_{s,w} / min_s t_{s,w}        t: median time to target at the tuned learning rate
    profile_s(τ) = share of the settings w with r_{s,w} ≤ τ
    score_s = mean over w of max(0, 4 − r_{s,w})/3

A miss is infinite; a setting in which no schedule reaches the target counts against all.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame, spread, stack
from robustlr.measures.cube import FloatArray
from robustlr.measures.curves import UNITS
from robustlr.measures.ensemble import Ensemble
from robustlr.measures.schemas import PROFILE_SCHEMA, SCORE_SCHEMA
from robustlr.measures.speedup import Times

MOST_RATIO = 4.0
"""r at which the score reaches zero."""


def performance_ratios(times: FloatArray) -> FloatArray:
    """r for times [S, ...]: over the fastest schedule; +inf for a miss, NaN where not run.

    >>> performance_ratios(np.array([10.0, 25.0, np.inf]))
    array([1. , 2.5, inf])
    """
    fastest = np.fmin.reduce(times, axis=0)
    reached = np.isfinite(times) & (fastest > 0)
    ratios = np.where(reached, times, 1.0) / np.where(reached, fastest, 1.0)
    missed = np.isposinf(times)
    ratios = np.where(missed, np.inf, ratios)
    return np.where(np.isnan(times), np.nan, ratios)


def profile_frames(settings: list[tuple[Ensemble, Times]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(PROFILE_SCHEMA, SCORE_SCHEMA) over the settings that have a target."""
    profiles, scores = [], []
    names = list(dict.fromkeys(name for e, _ in settings for name in e.cube.schedules))
    for unit in UNITS:
        by_schedule = _by_schedule(settings, unit)
        finite = [r[:, 0][np.isfinite(r[:, 0])] for r in by_schedule.values()]
        taus = np.unique(np.concatenate([[1.0, MOST_RATIO], *finite]))
        for name in names:
            ratios = by_schedule[name]
            if np.isnan(ratios[:, 0]).any():
                ratios = ratios[~np.isnan(ratios[:, 0])]
            if not len(ratios):
                continue
            share = (ratios[:, :1] <= taus).mean(axis=0)
            profiles.append(
                frame(PROFILE_SCHEMA, unit=unit, schedule=name, tau=taus, fraction=share)
            )
            score = (np.clip(MOST_RATIO - ratios, 0.0, None) / (MOST_RATIO - 1.0)).mean(axis=0)
            seeds = min(
                int(e.cube.seeds[e.cube.schedules.index(name)])
                for e, _ in settings
                if name in e.cube.schedules
            )
            scores.append(
                frame(
                    SCORE_SCHEMA,
                    unit=unit,
                    schedule=name,
                    settings=len(ratios),
                    **spread("score", settings[0][0].plan.summary(score, seeds, expand=False)),
                )
            )
    return stack(PROFILE_SCHEMA, profiles), stack(SCORE_SCHEMA, scores)


def _by_schedule(settings: list[tuple[Ensemble, Times]], unit: str) -> dict[str, FloatArray]:
    """Ratios of each schedule, [settings it was run in, R]."""
    found: dict[str, list[FloatArray]] = {}
    for ensemble, times in settings:
        ratios = performance_ratios(times.tuned(ensemble, unit))
        for name, row in zip(ensemble.cube.schedules, ratios, strict=True):
            found.setdefault(name, []).append(row)
    return {name: np.stack(rows) for name, rows in found.items()}
