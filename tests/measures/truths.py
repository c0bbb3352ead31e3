"""Synthetic studies whose population values are known: what intervals are tested against.

A run's final validation loss is m_s(η) + a·(ε_k + …): a parabola in log η per schedule, capped at
chance, with noise that a seed shares between runs (paired comparisons need it) and noise of its
own. Its curve decays exponentially to that loss at a rate of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from robustlr.records import CURVE_SCHEMA, RUN_SCHEMA, Results

FloatArray = NDArray[np.float64]

CHANCE, INITIAL = 2.3, 2.4
SCHEDULES = ("fixed", "cosine")
PER_DECADE, INDICES = 4, np.arange(-13, 2)
EVERY, POINTS = 2, 201
NUM_STEPS = EVERY * (POINTS - 1)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One synthetic study.

    best, curvature, centre: of each schedule's parabola; centre in grid points. noise: standard
    deviation over seeds, at the optimum. growth: how it grows with the misspecification, per
    decade. skewed: centred exponential noise instead of normal. shared: share of the variance
    that belongs to the seed. cliff: grid point above which runs diverge, with probability 0.4.
    rate: decay rate of the curves over the whole run, spread: its log-standard deviation.
    """

    name: str
    best: tuple[float, float] = (0.50, 0.42)
    curvature: tuple[float, float] = (0.5, 0.2)
    centre: tuple[float, float] = (-6.2, -5.8)
    noise: float = 0.006
    growth: float = 0.5
    skewed: bool = False
    shared: float = 0.5
    cliff: int | None = None
    rate: tuple[float, float] = (7.0, 9.0)
    spread: float = 0.25

    def draw(self, seeds: int, generator: np.random.Generator) -> tuple[FloatArray, ...]:
        """(validation, test, diverged, rate), each [schedule, lr, seed]."""
        shape = (len(SCHEDULES), len(INDICES), seeds)
        decades = (INDICES[None, :] - np.array(self.centre)[:, None]) / PER_DECADE
        mean = np.array(self.best)[:, None] + np.array(self.curvature)[:, None] * decades**2
        scale = self.noise * (1.0 + self.growth * np.abs(decades))[:, :, None]

        def unit(*size: int) -> FloatArray:
            if self.skewed:
                return generator.exponential(size=size) - 1.0
            return generator.normal(size=size)

        own, common = np.sqrt(1.0 - self.shared), np.sqrt(self.shared)
        valid = mean[:, :, None] + scale * (common * unit(seeds) + own * unit(*shape))
        test = valid + 0.5 * self.noise * unit(*shape)
        diverged = np.zeros(shape, dtype=bool)
        if self.cliff is not None:
            diverged = (self.cliff < INDICES)[None, :, None] & (generator.random(shape) < 0.4)
        rate = np.array(self.rate)[:, None, None] * np.exp(
            self.spread * generator.normal(size=shape)
        )
        return valid, test, diverged, rate

    def results(self, seeds: int, generator: np.random.Generator) -> Results:
        """A study of that many seeds."""
        valid, test, diverged, rate = (a.reshape(-1) for a in self.draw(seeds, generator))
        total = len(valid)
        schedule, index, seed = np.unravel_index(
            np.arange(total), (len(SCHEDULES), len(INDICES), seeds)
        )
        key = pl.Series("key", [str(i) for i in range(total)])
        lost = diverged.astype(bool)
        columns = {
            "key": key,
            "setting": "synthetic",
            "workload": "synthetic",
            "optimizer": "sgd",
            "batch_size": 1,
            "num_steps": NUM_STEPS,
            "schedule": np.array(SCHEDULES)[schedule],
            "lr_index": INDICES[index],
            "peak_lr": 10.0 ** (INDICES[index] / PER_DECADE),
            "seed": seed,
            "status": np.where(lost, "diverged", "completed"),
            "valid_loss": pl.Series(np.where(lost, np.nan, valid)).fill_nan(None),
            "test_loss": pl.Series(np.where(lost, np.nan, test)).fill_nan(None),
            "initial_valid_loss": INITIAL,
            "initial_test_loss": INITIAL,
            "chance_loss": CHANCE,
        }
        runs = pl.DataFrame(
            {name: columns.get(name) for name in RUN_SCHEMA}, schema=RUN_SCHEMA, strict=False
        )
        step, loss = self.curves(valid, rate)
        loss[lost, POINTS // 4 :] = np.nan
        steps = np.tile(step, total)
        curves = {
            "key": key.gather(np.repeat(np.arange(total), POINTS)),
            "step": steps,
            "valid_loss": pl.Series(loss.reshape(-1)).fill_nan(None),
            "example_passes": steps * 32.0,
            "evaluation_passes": steps * 3.0,
            "wall_seconds": steps * 0.01,
        }
        return Results(
            runs=runs,
            curves=pl.DataFrame(
                {name: curves.get(name) for name in ("key", *CURVE_SCHEMA)},
                schema={"key": pl.String(), **CURVE_SCHEMA},
                strict=False,
            ),
            points_per_decade=PER_DECADE,
        )

    def curves(self, final: FloatArray, rate: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(steps [P], losses [..., P]): exponential decay that ends at the final loss."""
        u = np.linspace(0.0, 1.0, POINTS)
        decay = np.exp(-rate[..., None] * u)
        share = (decay - decay[..., -1:]) / (1.0 - decay[..., -1:])
        loss = final[..., None] + (INITIAL - final[..., None]) * share
        return np.arange(POINTS) * float(EVERY), loss


TRUTHS = (
    Truth(name="normal"),
    Truth(name="skewed, unpaired", skewed=True, shared=0.0, centre=(-5.8, -7.2)),
    Truth(name="cliff", cliff=-3, noise=0.01, shared=0.8, rate=(6.0, 7.0)),
)
"""Well-separated optima: what a grid of a few points per decade is meant to resolve."""

HARD = Truth(name="flat, noisy", curvature=(0.08, 0.03), centre=(-6.5, -5.5), noise=0.05)
"""A basin so flat that ten seeds cannot tell neighbouring learning rates apart: the tuned one is
biased towards luck, and so is every interval around it. Shown, not asserted."""
