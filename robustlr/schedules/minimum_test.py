"""Has a noisy curve passed its minimum? (AutoWU, arXiv 2107.05855, section 3)

A Gaussian process is fitted to the curve; its posterior gives the probability that the curve
was lower at some earlier point than it is now. Everything is invariant to the scale and the
shift of the losses: they are standardised first, and no prior or tolerance is absolute.

The lengthscale is fixed, so the process rings behind a sudden fall and finds a faint rise in
pure noise. Hence two checks that the original lacks: the likelihood must prefer a curve to
noise alone, and the losses themselves must be higher now than around the minimum. Either can
settle a test long before the whole probability is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from robustlr.gp import LOG_RATIO_BOUNDS, FloatArray, GaussianProcess, Spectrum
from robustlr.schedules.loss_rise import has_risen, may_have_risen, standardised

MIN_POINTS = 8
_EVIDENCE = 4.0  # log likelihood by which a curve must beat noise alone


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
    y = standardised(np.asarray(losses, dtype=np.float64))
    if y is None:
        return Verdict(0.0, False, 1.0)
    process = _spectrum(len(y), lengthscale).fit(y)
    return _verdict(process, y, votes, prefers_a_curve=_prefers_a_curve(process, y))


def positive(
    losses: Sequence[float] | FloatArray, *, confidence: float, lengthscale: float, votes: int
) -> Verdict | None:
    """The verdict of `judge` where it has passed at `confidence`, else None, for far less work.

    Stops at the first check that fails, the cheapest one first.
    """
    y = standardised(np.asarray(losses, dtype=np.float64))
    if y is None or not may_have_risen(y):
        return None
    process = _spectrum(len(y), lengthscale).fit(y)
    if not _prefers_a_curve(process, y):
        return None
    verdict = _verdict(process, y, votes, prefers_a_curve=True)
    return verdict if verdict.passed(confidence) else None


def _verdict(
    process: GaussianProcess, y: FloatArray, votes: int, *, prefers_a_curve: bool
) -> Verdict:
    mean, variance = process.rise(votes)
    rise = mean[:, -1:] - mean
    certain = variance <= 0.0
    z = np.where(certain, np.sign(rise) * 40.0, rise / np.sqrt(np.where(certain, 1.0, variance)))
    highest = sorted(z[:, :-1].max(axis=1).tolist())[(votes - 1) // 2]
    minimum = sorted(mean.argmin(axis=1).tolist())[votes // 2]
    return Verdict(
        probability=0.5 * math.erfc(-highest / math.sqrt(2.0)),
        confirmed=prefers_a_curve and has_risen(y, minimum),
        minimum=(minimum + 0.5) / len(y) if minimum + 1 < len(y) else 1.0,
    )


@lru_cache(maxsize=64)
def _spectrum(n: int, lengthscale: float) -> Spectrum:
    """Of n equally spaced points in [0, 1]: runs of one study test the same few n."""
    return Spectrum.of((np.arange(n) + 0.5) / n, lengthscale)


def _prefers_a_curve(process: GaussianProcess, y: FloatArray) -> bool:
    noise, curve = process.spectrum.objective(y, [LOG_RATIO_BOUNDS[1], process.log_ratio])
    return bool(noise - curve > _EVIDENCE)
