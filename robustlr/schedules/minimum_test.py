"""Has a noisy curve passed its minimum? (AutoWU, arXiv 2107.05855, section 3)

A Gaussian process is fitted to the curve; its posterior gives the probability that the curve
was lower at some earlier point than it is now. Everything is invariant to the scale and the
shift of the losses: they are standardised first, and no prior or tolerance is absolute.

The lengthscale is fixed, so the process rings behind a sudden fall and finds a faint rise in
pure noise. Hence two checks that the original lacks: the likelihood must prefer a curve to
noise alone, and the losses themselves must be higher now than around the minimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from robustlr.gp import LOG_RATIO_BOUNDS, FloatArray, GaussianProcess, Spectrum
from robustlr.schedules.loss_blocks import LossBlocks

MIN_POINTS = 8
_EVIDENCE = 4.0  # log likelihood by which a curve must beat noise alone
_RISE = 2.326  # standard errors of the rise in the losses themselves: one-sided 1 %
_WINDOW = 0.1  # share of the points that the rise is measured with, at either end
_HEADROOM = 3.0  # a point counts as no higher above the median than this times its depth


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a test of n points says.

    probability: that the curve was lower before than at the last point; the highest value that
    more than half of the votes reach. confirmed: the two checks hold. minimum: where the
    curve is lowest, in (0, 1], as a share of the points.
    """

    probability: float
    confirmed: bool
    minimum: float

    def passed(self, confidence: float) -> bool:
        """Whether the minimum lies behind."""
        return self.confirmed and self.probability > confidence


def judge(losses: Sequence[float] | FloatArray, *, lengthscale: float, votes: int) -> Verdict:
    """Test n ≥ `MIN_POINTS` equally spaced finite losses, oldest first; constant ones are flat.

    lengthscale: of the process, as a share of the range. votes: v of them, the i-th without
    every v-th point from the i-th on; one vote leaves nothing out.
    """
    units = _Units.of(np.asarray(losses, dtype=np.float64))
    if units is None:
        return Verdict(0.0, False, 1.0)
    y = units.standardised
    process = _spectrum(len(y), lengthscale).fit(y)
    mean, variance = process.rise(votes)
    rise = mean[:, -1:] - mean
    certain = variance <= 0.0
    z = np.where(certain, np.sign(rise) * 40.0, rise / np.sqrt(np.where(certain, 1.0, variance)))
    highest = sorted(z[:, :-1].max(axis=1).tolist())[(votes - 1) // 2]
    minimum = sorted(mean.argmin(axis=1).tolist())[votes // 2]
    return Verdict(
        probability=0.5 * math.erfc(-highest / math.sqrt(2.0)),
        confirmed=_prefers_a_curve(process, y) and _has_risen(y, minimum),
        minimum=(minimum + 0.5) / len(y) if minimum + 1 < len(y) else 1.0,
    )


@dataclass(frozen=True, slots=True)
class Posterior:
    """The curve behind noisy losses, for a figure.

    position: update number at the middle of each block. loss: the block's mean. mean,
    deviation: of the latent curve there; a 95 % band is mean ± 1.96·deviation.
    """

    position: FloatArray
    loss: FloatArray
    mean: FloatArray
    deviation: FloatArray


def posterior(losses: Sequence[float] | FloatArray, *, lengthscale: float = 0.2) -> Posterior:
    """The process that `judge` fits to `losses`, one per update, in the losses' own units."""
    blocks = LossBlocks()
    for loss in losses:
        blocks = blocks.add(float(loss))
    means = np.asarray(blocks.means)
    position: FloatArray = (np.arange(len(means), dtype=np.float64) + 0.5) * blocks.size
    units = _Units.of(means) if len(means) > 1 else None
    if units is None:
        return Posterior(position, means, means, np.zeros_like(means))
    process = _spectrum(len(means), lengthscale).fit(units.standardised)
    x = process.spectrum.x
    variance = np.maximum(np.diag(process.posterior_covariance(x)), 0.0)
    mean = units.centre + units.size * process.posterior_mean(x)
    return Posterior(position, means, mean, units.size * np.sqrt(variance))


@dataclass(frozen=True, slots=True)
class _Units:
    """standardised = (losses − centre)/size, where losses far above the rest are cut off first.

    A loss that explodes would leave nothing of the fall before it: a point counts as no higher
    above the median than `_HEADROOM` times the depth of the lowest point below it.
    """

    standardised: FloatArray
    centre: float
    size: float

    @classmethod
    def of(cls, losses: FloatArray) -> _Units | None:
        """None where the losses are constant up to rounding."""
        median, lowest = float(np.median(losses)), float(losses.min())
        largest = float(np.abs(losses).max())
        if losses.max() - lowest <= 1e-13 * largest:
            return None
        if median > lowest:
            losses = np.minimum(losses, median + _HEADROOM * (median - lowest))
        centre = float(losses.mean())
        # Scaled before it is squared: losses of 1e-200 or 1e200 are losses too.
        scale = float(np.abs(losses - centre).max())
        size = scale * float(np.std((losses - centre) / scale))
        return cls((losses - centre) / size, centre, size)


@lru_cache(maxsize=64)
def _spectrum(n: int, lengthscale: float) -> Spectrum:
    """Of n equally spaced points in [0, 1]: runs of one study test the same few n."""
    return Spectrum.of((np.arange(n) + 0.5) / n, lengthscale)


def _prefers_a_curve(process: GaussianProcess, y: FloatArray) -> bool:
    noise, curve = process.spectrum.objective(y, [LOG_RATIO_BOUNDS[1], process.log_ratio])
    return bool(noise - curve > _EVIDENCE)


def _has_risen(y: FloatArray, minimum: int) -> bool:
    """Whether the last points' mean lies above that of those around `minimum` (Welch)."""
    behind = len(y) - 1 - minimum
    size = max(3, min(round(_WINDOW * len(y)), 2 * behind // 3))
    first = max(0, minimum - size // 2)
    if first + size > len(y) - size:
        return False
    low, now = y[first : first + size], y[-size:]
    error = math.sqrt((float(low.var(ddof=1)) + float(now.var(ddof=1))) / size)
    return float(now.mean() - low.mean()) > _RISE * error
