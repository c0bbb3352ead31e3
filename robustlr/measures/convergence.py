"""Exponential convergence, fitted per run by variable projection.

    L(t) = L₀·e^(−αt) + L∞

For a given α the model is linear in L₀ and L∞, so the fit is a search over α alone: a grid for
the start, then Gauss–Newton steps on log α for all runs at once. Steps are taken relative to a
run's span: κ = α·(t_last − t_first).
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame
from robustlr.measures.cube import FloatArray
from robustlr.measures.curves import Curves
from robustlr.measures.schemas import CONVERGENCE_SCHEMA

LEAST_POINTS = 5
_LEAST_KAPPA = 0.1  # below, the curve is a line
_MOST_KAPPA = 10.0  # times the number of first intervals in the span: beyond, it is a step
_GRID = 96
_NEWTON_STEPS = 6
_CHUNK = 512  # runs at a time, so that a chunk stays in cache


def convergence_frame(runs: pl.DataFrame, curves: Curves) -> pl.DataFrame:
    """CONVERGENCE_SCHEMA: one row per run, in the order of the run frame."""
    total = len(runs)
    fit = np.full(total, "ok", dtype=object)
    fitted = np.full((total, 4), np.nan)
    alike: dict[bytes, list[int]] = defaultdict(list)
    diverged = (runs["status"] == "diverged").to_numpy()
    for index in range(total):
        where = curves.run(index)
        loss = curves.loss[where]
        if diverged[index]:
            fit[index] = "diverged"
        elif len(np.unique(curves.updates[where])) < LEAST_POINTS:
            fit[index] = "too few points"
        elif np.ptp(loss) <= 1e-12 * np.abs(loss).max():
            fit[index] = "constant"
        else:
            alike[curves.updates[where].tobytes()].append(index)
    for steps, members in alike.items():
        t = np.frombuffer(steps)
        losses = np.stack([curves.loss[curves.run(index)] for index in members])
        fitted[members] = exponential_fit(t, losses)
    fit[(fit == "ok") & np.isnan(fitted[:, 0])] = "not exponential"
    return frame(
        CONVERGENCE_SCHEMA,
        **{name: runs[name].to_list() for name in ("setting", "schedule")},
        **{name: runs[name].to_numpy() for name in ("lr_index", "peak_lr", "seed")},
        fit=fit.tolist(),
        points=curves.count,
        initial_loss=fitted[:, 0],
        rate=fitted[:, 1],
        final_loss=fitted[:, 2],
        r_squared=fitted[:, 3],
        min_grad_norm_squared=curves.min_grad_norm_squared,
    )


def exponential_fit(t: FloatArray, losses: FloatArray) -> FloatArray:
    """Columns L₀, α, L∞, R² for losses [C, P] at steps t [P] ascending; NaN where α runs off.

    >>> t = np.arange(0.0, 50.0, 5.0)
    >>> exponential_fit(t, 2.0 * np.exp(-0.1 * t)[None] + 0.5).round(6).tolist()
    [[2.0, 0.1, 0.5, 1.0]]
    """
    span = t[-1] - t[0]
    u = (t - t[0]) / span
    first = u[u > 0][0]
    kappas = np.geomspace(_LEAST_KAPPA, _MOST_KAPPA / first, _GRID)
    shapes = np.exp(-u[:, None] * kappas)
    shapes -= shapes.mean(axis=0)
    shapes /= np.linalg.norm(shapes, axis=0)
    parts = [
        _fit_chunk(u, losses[i : i + _CHUNK], kappas, shapes) for i in range(0, len(losses), _CHUNK)
    ]
    slope, kappa, final, r_squared = np.concatenate(parts, axis=1)
    rate = kappa / span
    with np.errstate(over="ignore"):
        initial = slope * np.exp(rate * t[0])
    return np.stack([initial, rate, final, r_squared], axis=1)


def _fit_chunk(
    u: FloatArray, losses: FloatArray, kappas: FloatArray, shapes: FloatArray
) -> FloatArray:
    mean = losses.mean(axis=1)
    y = losses - mean[:, None]
    best = np.argmax(np.square(y @ shapes), axis=1)
    runs_off = (best == 0) | (best == len(kappas) - 1)
    low = np.log(kappas[np.maximum(best - 1, 0)])
    high = np.log(kappas[np.minimum(best + 1, len(kappas) - 1)])
    log_kappa = np.log(kappas[best])
    for _ in range(_NEWTON_STEPS):
        _, _, _, step = _projected(u, y, np.exp(log_kappa))
        log_kappa = np.clip(log_kappa + step, low, high)
    kappa = np.exp(log_kappa)
    slope, offset, explained, _ = _projected(u, y, kappa)
    r_squared = explained / np.square(y).sum(axis=1)
    fitted = np.stack([slope, kappa, mean + offset, np.minimum(r_squared, 1.0)])
    return np.where(runs_off, np.nan, fitted)


def _projected(
    u: FloatArray, y: FloatArray, kappa: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(slope, offset, explained sum of squares, Gauss–Newton step in log κ) at κ [C].

    y [C, P] has mean zero. With e = e^(−κu) the model is slope·e + offset; its derivative by
    log κ is −slope·κu·e, less what slope and offset can follow.
    """
    n = len(u)
    powers = np.stack([np.ones(n), u, u * u], axis=1)
    e = np.exp(-kappa[:, None] * u)
    e0, e1 = (e @ powers[:, :2]).T
    ee0, ee1, ee2 = ((e * e) @ powers).T
    ye0, ye1 = ((y * e) @ powers[:, :2]).T
    variance = ee0 - e0 * e0 / n
    slope = ye0 / variance
    cross = ee1 - e0 * e1 / n  # of e and u·e, centred
    follow = cross / variance
    derivative_square = (ee2 - e1 * e1 / n) - cross * follow
    residual = ye1 - slope * cross  # of y − slope·e along u·e
    scale = -slope * kappa * derivative_square
    usable = np.abs(scale) > 1e-300
    step = np.where(usable, residual / np.where(usable, scale, 1.0), 0.0)
    return slope, -slope * e0 / n, slope * ye0, step
