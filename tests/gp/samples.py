"""Inputs and noisy targets for the tests of the process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
LENGTHSCALE = 0.2


def even(n: int) -> FloatArray:
    return (np.arange(n) + 0.5) / n


def uneven(n: int) -> FloatArray:
    return np.sort(np.random.default_rng(n).uniform(size=n))


def noisy(x: FloatArray, noise: float = 0.2) -> FloatArray:
    rng = np.random.default_rng(len(x))
    return 3.0 + np.sin(5.0 * x) + noise * rng.normal(size=len(x))
