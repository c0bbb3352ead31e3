"""Are the last losses higher than those around a minimum? Asked of one minimum, or of all at once.

A Gaussian process rings and finds a faint rise in pure noise, so a test of the minimum also asks
the losses themselves (`has_risen`, Welch's test of two windows). Where that would fail for every
minimum (`may_have_risen`), the test is lost whatever the process says, and none need be fitted:
that is so during most of a warmup, and costs a tenth of a fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robustlr.gp import FloatArray

Indices = NDArray[np.int64]

_RISE = 2.326  # standard errors of the rise in the losses themselves: one-sided 1 %
_WINDOW = 0.1  # share of the points that the rise is measured with, at either end
_HEADROOM = 3.0  # a point counts as no higher above the median than this times its depth


def standardised(losses: FloatArray) -> FloatArray | None:
    """`losses` with mean 0 and deviation 1, those far above the rest cut off first; None where
    they are constant up to rounding.

    A loss that explodes would leave nothing of the fall before it: a point counts as no higher
    above the median than `_HEADROOM` times the depth of the lowest point below it.
    """
    n = len(losses)
    ordered = np.sort(losses)
    lowest, highest = float(ordered[0]), float(ordered[-1])
    if highest - lowest <= 1e-13 * max(abs(lowest), abs(highest)):
        return None
    median = float(ordered[(n - 1) // 2] / 2.0 + ordered[n // 2] / 2.0)
    cap = median + _HEADROOM * (median - lowest)
    if lowest < median and cap < highest:
        losses = np.minimum(losses, cap)
    centred = losses - np.add.reduce(losses) / n
    # Scaled before it is squared: losses of 1e-200 or 1e200 are losses too.
    scaled = centred / np.maximum.reduce(np.abs(centred))
    return np.asarray(scaled / math.sqrt(float(scaled @ scaled) / n))


def has_risen(y: FloatArray, minimum: int) -> bool:
    """Whether the mean of the last of `y` lies above that of those around `minimum` (Welch)."""
    window = _window(len(y), minimum)
    if window is None:
        return False
    first, size = window
    low, now = y[first : first + size], y[-size:]
    error = math.sqrt((float(low.var(ddof=1)) + float(now.var(ddof=1))) / size)
    return float(now.mean() - low.mean()) > _RISE * error


def may_have_risen(y: FloatArray) -> bool:
    """False only where `has_risen` is false for every minimum; y: of `standardised`."""
    windows = _Windows.of(len(y))
    low, now = windows.sums(y)
    rise = (now - low) / windows.size
    if not len(rise) or rise.max() <= -windows.slack:
        return False
    low_squares, now_squares = windows.sums(y * y)
    scatter = low_squares + now_squares - (low * low + now * now) / windows.size
    error_squared = scatter / windows.freedom - windows.slack
    return bool((rise + windows.slack > _RISE * np.sqrt(np.maximum(error_squared, 0.0))).any())


def _window(n: int, minimum: int) -> tuple[int, int] | None:
    """First point and size of the window around `minimum`, if the last points are beyond it."""
    behind = n - 1 - minimum
    size = max(3, min(round(_WINDOW * n), 2 * behind // 3))
    first = max(0, minimum - size // 2)
    return (first, size) if first + size <= n - size else None


@dataclass(frozen=True, slots=True)
class _Windows:
    """Every window that a minimum of n points can have: [start, stop), against [last, n).

    freedom: size·(size − 1), the scatter of both windows over which is the squared error of the
    rise. slack: more than the rounding of differences between cumulative sums.
    """

    start: Indices
    stop: Indices
    last: Indices
    size: FloatArray
    freedom: FloatArray
    slack: float

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, n: int) -> _Windows:
        found = sorted({window for m in range(n) if (window := _window(n, m)) is not None})
        first, size = np.array(found, dtype=np.int64).reshape(-1, 2).T
        width = size.astype(np.float64)
        slack = 16.0 * n**2.5 * float(np.finfo(np.float64).eps)
        return cls(first, first + size, n - size, width, width * (width - 1.0), slack)

    def sums(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of `values` over each window, and over as many of the last."""
        total = np.zeros(len(values) + 1)
        np.add.accumulate(values, out=total[1:])
        low = total.take(self.stop) - total.take(self.start)
        return low, total[-1] - total.take(self.last)
