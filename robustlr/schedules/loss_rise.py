"""Are the last losses higher than those around a minimum? Asked of one minimum, or of all at once.

A Gaussian process rings and finds a faint rise in pure noise, so a test of the minimum also asks
the losses themselves (`has_risen`, Welch's test of two windows). Where that would fail for every
minimum (`may_have_risen`), the test is lost whatever the process says, and none need be fitted:
that is so during most of a warmup.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import sub

import numpy as np

from robustlr.gp import FloatArray

_RISE = 2.326  # standard errors of the rise in the losses themselves: one-sided 1 %
_WINDOW = 0.1  # share of the points that the rise is measured with, at either end
_HEADROOM = 3.0  # a point counts as no higher above the median than this times its depth
_ROUNDING = 2.0**-52


def standardised(losses: Sequence[float]) -> FloatArray | None:
    """`losses` with mean 0 and deviation 1, those far above the rest cut off first; None where
    they are constant up to rounding.

    A loss that explodes would leave nothing of the fall before it: a point counts as no higher
    above the median than `_HEADROOM` times the depth of the lowest point below it.
    """
    lowest, highest, ceiling = _range(losses)
    if highest - lowest <= 1e-13 * max(abs(lowest), abs(highest)):
        return None
    y = np.minimum(losses, ceiling)
    centred = y - np.add.reduce(y) / len(y)
    # Scaled before it is squared: losses of 1e-200 or 1e200 are losses too.
    scaled = centred / np.maximum.reduce(np.abs(centred))
    return np.asarray(scaled / math.sqrt(float(scaled @ scaled) / len(y)))


def units(losses: Sequence[float], y: FloatArray) -> tuple[float, float]:
    """Centre c and scale s of the standardised losses y: the losses, cut off, are c + s·y."""
    lowest, highest = int(y.argmin()), int(y.argmax())
    top = min(losses[highest], _range(losses)[2])
    scale = (top - losses[lowest]) / float(y[highest] - y[lowest])
    return losses[lowest] - scale * float(y[lowest]), scale


def has_risen(y: FloatArray, minimum: int) -> bool:
    """Whether the mean of the last of `y` lies above that of those around `minimum` (Welch)."""
    window = _window(len(y), minimum)
    if window is None:
        return False
    first, size = window
    low, now = y[first : first + size], y[-size:]
    error = math.sqrt((float(low.var(ddof=1)) + float(now.var(ddof=1))) / size)
    return float(now.mean() - low.mean()) > _RISE * error


def may_have_risen(losses: Sequence[float]) -> bool:
    """False only where `has_risen` is false of the standardised losses for every minimum.

    True otherwise, up to rounding. It runs between the updates of a training loop, when nothing
    of it is in the processor's caches: a few builtins cost a third of as many calls of numpy.
    """
    lowest, highest, ceiling = _range(losses)
    if highest > ceiling:
        losses = [min(loss, ceiling) for loss in losses]
    total = list(accumulate(losses, initial=0.0))
    slack = _ROUNDING * len(losses) ** 2 * max(abs(lowest), abs(highest))
    for size, first, stop in _windows(len(losses)):
        lows = list(map(sub, total[first + size : stop + size], total[first:stop]))
        now = total[-1] - total[-1 - size]
        if now - min(lows) <= -slack * size:
            continue
        error = _error(losses[-size:]) - slack
        for start, low in enumerate(lows, first):
            rise = (now - low) / size + slack
            if rise > _RISE * error:
                both = math.hypot(error + slack, _error(losses[start : start + size])) - slack
                if rise > _RISE * both:
                    return True
    return False


def _error(window: Sequence[float]) -> float:
    """Standard error of the mean of `window`."""
    size = len(window)
    mean = sum(window) / size
    return math.hypot(*[loss - mean for loss in window]) / math.sqrt(size * (size - 1))


def _range(losses: Sequence[float]) -> tuple[float, float, float]:
    """Lowest and highest, and the ceiling under which the process sees them; the highest itself
    where no loss lies below the median."""
    ordered, n = sorted(losses), len(losses)
    lowest, highest = ordered[0], ordered[-1]
    median = ordered[(n - 1) // 2] / 2.0 + ordered[n // 2] / 2.0
    ceiling = median + _HEADROOM * (median - lowest) if median > lowest else highest
    return lowest, highest, ceiling


def _window(n: int, minimum: int) -> tuple[int, int] | None:
    """First point and size of the window around `minimum`, if the last points are beyond it."""
    behind = n - 1 - minimum
    size = max(3, min(round(_WINDOW * n), 2 * behind // 3))
    first = max(0, minimum - size // 2)
    return (first, size) if first + size <= n - size else None


@lru_cache(maxsize=128)
def _windows(n: int) -> tuple[tuple[int, int, int], ...]:
    """Every size that a window can have, with the range of its first points."""
    firsts: dict[int, list[int]] = {}
    for minimum in range(n):
        window = _window(n, minimum)
        if window is not None:
            firsts.setdefault(window[1], []).append(window[0])
    return tuple((size, min(starts), max(starts) + 1) for size, starts in firsts.items())
