"""Paired bootstrap over seeds, and the interval it gives.

Every measure is a function of weights on the seeds. It is computed for R = 1 + B + n rows of
weights at once: the seeds as they are, B resamples, and each seed left out. All schedules,
learning rates and settings share the rows, so that comparisons are paired.

The plain percentile interval of a mean is too narrow for few seeds: the resampled variance lacks
the factor n/(n−1), and the normal quantile stands for Student's. Both are mended by taking wider
percentiles (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3):

    α'/2 = Φ(−√(n/(n−1))·t_{n−1, 1−α/2})      2.5 % becomes 0.86 % at n = 10

Medians need none of it: their percentiles are order statistics, wide enough as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from robustlr.measures.cube import FloatArray

Interval = Literal["percentile", "bca"]

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Rows of weights on the seeds, [R, n]: as they are, `resamples` rows, each left out.

    select, report: (for choosing learning rates, for reporting); equal without cross-fitting.
    """

    select: FloatArray
    report: FloatArray


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How seeds are resampled and what interval is drawn.

    plain: every seed both chooses and reports. folds: what values are averaged over, (plain,)
    unless cross-fitted: then one half of the seeds chooses, the other reports, and the reverse.
    """

    plain: Weights
    folds: tuple[Weights, ...]
    resamples: int
    interval: Interval

    @property
    def seeds(self) -> int:
        """n, over all settings and schedules."""
        return int(self.plain.report.shape[1])

    def summary(
        self, draws: FloatArray, seeds: int, *, expand: bool = True
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(value, low, high) of draws [..., R]; NaN bounds where fewer than 2 seeds support them.

        expand: take the wider percentiles that means need; medians do not.
        Rows that are NaN (a resample without any run there) take no part.
        """
        value, body = draws[..., 0], draws[..., 1 : 1 + self.resamples]
        if seeds < 2 or self.resamples == 0:
            return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
        quantile = expanded_quantile(seeds) if expand else special.ndtri((1 + CONFIDENCE) / 2)
        z = np.full(value.shape, quantile)
        lower, upper = special.ndtr(-z), special.ndtr(z)
        if self.interval == "bca":
            bias = _bias(value, body)
            skew = _acceleration(draws[..., 1 + self.resamples :])
            lower, upper = _bca_level(bias, skew, -z), _bca_level(bias, skew, z)
        low, high = _order_statistics(body, lower, upper)
        low, high = np.fmin(low, value), np.fmax(high, value)
        bad = np.isnan(value)
        return value, np.where(bad, np.nan, low), np.where(bad, np.nan, high)


def make_plan(
    n: int,
    *,
    resamples: int,
    interval: Interval = "percentile",
    cross_fit: bool = False,
    seed: int = 0,
) -> Plan:
    """Weights for n seeds. Cross-fitting needs two seeds; with one it is left out.

    >>> make_plan(2, resamples=3).plain.report.shape
    (6, 2)
    """
    generator = np.random.default_rng(seed)
    half = np.arange(n) % 2 == 0
    parts = (half, ~half) if cross_fit and n > 1 else (np.ones(n, dtype=bool),)
    resampled = np.zeros((resamples, n))
    for part in parts:  # each part keeps its size, so that neither runs empty
        size = int(part.sum())
        resampled[:, part] = generator.multinomial(size, np.full(size, 1 / size), size=resamples)
    weights = np.concatenate([np.ones((1, n)), resampled, 1.0 - np.eye(n)])
    plain = Weights(select=weights, report=weights)
    folds = tuple(Weights(select=weights * part, report=weights * ~part) for part in parts)
    return Plan(
        plain=plain,
        folds=folds if len(parts) > 1 else (plain,),
        resamples=resamples,
        interval=interval,
    )


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Means over the last axis of values [..., n] for weights [R, n]: [..., R].

    NaN marks what is missing: its weight goes to the others; NaN where nothing is left.
    The sums are rounded to 13 digits, so that equal runs have equal means to the bit and ties
    stay ties whatever the order of summation.
    """
    known = np.isfinite(values)
    if not known.any():
        return np.full((*values.shape[:-1], len(weights)), np.nan)
    centre = float(values[known].min())
    deviations = np.where(known, values - centre, 0.0)
    sums = deviations @ weights.T
    totals = weights.sum(axis=1)
    if known.all() and totals.all():
        sums /= totals
    else:
        counts = known.astype(np.float64) @ weights.T
        np.divide(sums, counts, out=sums, where=counts > 0)
        sums[counts <= 0] = np.nan
    scale = float(np.abs(deviations).max())
    if scale > 0:
        np.round(sums, min(12 - int(np.floor(np.log10(scale))), 300), out=sums)
    sums += centre
    return np.asarray(sums)


def expanded_quantile(n: int) -> float:
    """√(n/(n−1))·t_{n−1} for a two-sided interval of CONFIDENCE.

    >>> round(float(special.ndtr(-expanded_quantile(10))), 4)
    0.0086
    """
    return float(np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, (1.0 + CONFIDENCE) / 2.0))


def _order_statistics(
    body: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The values at two levels of each row of body [..., B]; never between two infinities."""
    counts = body.shape[-1] - np.isnan(body).sum(axis=-1)
    first = np.clip(np.floor(lower * (counts + 1)).astype(np.int64) - 1, 0, None)
    last = np.clip(np.ceil(upper * (counts + 1)).astype(np.int64) - 1, 0, None)
    last = np.minimum(last, np.maximum(counts - 1, 0))
    first = np.minimum(first, last)
    wanted = np.unique(np.concatenate([first.ravel(), last.ravel()]))
    few = len(wanted) <= 8
    ordered = np.partition(body, wanted, axis=-1) if few else np.sort(body, axis=-1)
    low = np.take_along_axis(ordered, first[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(ordered, last[..., None], axis=-1)[..., 0]
    return low, high


def _bias(value: FloatArray, body: FloatArray) -> FloatArray:
    """z₀ = Φ⁻¹(share of resamples below the value, ties half), kept finite."""
    known = np.asarray(~np.isnan(body))
    count = np.maximum(known.sum(axis=-1), 1)
    below = (body < value[..., None]).sum(axis=-1) + 0.5 * (body == value[..., None]).sum(axis=-1)
    return np.asarray(special.ndtri(np.clip(below / count, 0.5 / count, 1.0 - 0.5 / count)))


def _acceleration(jackknife: FloatArray) -> FloatArray:
    """a = Σd³/(6·(Σd²)^{3/2}), d = mean − value without seed k; 0 where it has no meaning."""
    usable = np.asarray(np.isfinite(jackknife).all(axis=-1))
    values = np.where(usable[..., None], jackknife, 0.0)
    deviation = values.mean(axis=-1, keepdims=True) - values
    cubes, squares = (deviation**3).sum(axis=-1), (deviation**2).sum(axis=-1)
    safe = np.asarray(squares > 0)
    return np.where(safe, cubes / np.where(safe, 6.0 * squares**1.5, 1.0), 0.0)


def _bca_level(bias: FloatArray, skew: FloatArray, z: FloatArray) -> FloatArray:
    """Φ(z₀ + (z₀ + z)/(1 − a(z₀ + z))); 0 or 1 beyond the formula's pole."""
    shifted = bias + z
    slack = 1.0 - skew * shifted
    inside = slack > 0
    level = special.ndtr(bias + shifted / np.where(inside, slack, 1.0))
    return np.where(inside, level, shifted > 0)
