"""Has a noisy curve passed its minimum? (AutoWU, arXiv 2107.05855, section 3)

A Gaussian process is fitted to the curve; its posterior gives the probability that the curve
was lower at some earlier point than it is now. Everything is invariant to the scale and the
shift of the losses: they are standardised first, and no prior or tolerance is absolute.

The lengthscale is fixed, so the process rings behind a sudden fall and finds a faint rise in
pure noise. Hence two checks that the original lacks: the likelihood must prefer a curve to
noise alone, and the losses themselves must be higher now than around the minimum. Either
settles most tests before the probability is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from robustlr.gp import LOG_RATIO_BOUNDS, FloatArray, GaussianProcess, Spectrum, rise
from robustlr.schedules.loss_rise import has_risen, may_have_risen, standardised, units

MIN_POINTS = 8
_EVIDENCE = 4.0  # log likelihood by which a curve must beat noise alone


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the process says of n points.

    probability: that the curve was lower before than at the last point; the highest value that
    more than half of the votes reach. lowest: which of the `points`, from 0, the curve is
    lowest at.
    """

    probability: float
    lowest: int
    points: int

    @property
    def minimum(self) -> float:
        """Where the curve is lowest, in (0, 1], as a share of the points."""
        return (self.lowest + 0.5) / self.points if self.lowest + 1 < self.points else 1.0


def judge(losses: Sequence[float], *, lengthscale: float, votes: int) -> Verdict:
    """Ask the process about n ≥ `MIN_POINTS` equally spaced finite losses, oldest first;
    constant ones are flat.

    lengthscale: of the process, as a share of the range. votes: v of them, the i-th without
    every v-th point from the i-th on; one vote leaves nothing out.
    """
    y = standardised(losses)
    if y is None:
        return Verdict(0.0, len(losses) - 1, len(losses))
    return _verdict(_spectrum(len(y), lengthscale).fit(y), votes)


def confirmed(losses: Sequence[float], *, lengthscale: float, votes: int) -> Verdict | None:
    """The verdict of `judge` where both checks hold, else None: then the minimum does not lie
    behind, whatever the probability, and most often far less work has said so.
    """
    y = standardised(losses) if may_have_risen(losses) else None
    if y is None:
        return None
    process = _spectrum(len(y), lengthscale).fit(y)
    if not _prefers_a_curve(process, y):
        return None
    verdict = _verdict(process, votes)
    return verdict if has_risen(y, verdict.lowest) else None


def posterior(
    x: FloatArray, losses: Sequence[float], *, lengthscale: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the curve that the process sees at x, both (n,), in the units
    of the losses, for a picture of them.

    x: in [0, 1], not necessarily equally spaced; the warmup's own are.
    """
    y = standardised(losses)
    if y is None:
        return np.asarray(losses, dtype=np.float64), np.zeros(len(losses))
    centre, scale = units(losses, y)
    process = Spectrum.of(x, lengthscale).fit(y)
    variance = np.maximum(np.diag(process.posterior_covariance(x)), 0.0)
    return centre + scale * process.posterior_mean(x), scale * np.sqrt(variance)


def _verdict(process: GaussianProcess, votes: int) -> Verdict:
    mean, variance = rise(process, votes)
    higher = mean[:, -1:] - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = higher / np.sqrt(variance)
    certain = variance <= 0.0
    z[certain] = 40.0 * np.sign(higher[certain])
    highest = sorted(z[:, :-1].max(axis=1).tolist())[(votes - 1) // 2]
    lowest = sorted(mean.argmin(axis=1).tolist())[votes // 2]
    probability = 0.5 * math.erfc(-highest / math.sqrt(2.0))
    return Verdict(probability, lowest, mean.shape[1])


@lru_cache(maxsize=128)
def _spectrum(n: int, lengthscale: float) -> Spectrum:
    """Of n equally spaced points in [0, 1]: runs of one study test the same few n."""
    return Spectrum.of((np.arange(n) + 0.5) / n, lengthscale)


def _prefers_a_curve(process: GaussianProcess, y: FloatArray) -> bool:
    noise, curve = process.spectrum.objective(y, [LOG_RATIO_BOUNDS[1], process.log_ratio])
    return bool(noise - curve > _EVIDENCE)
