"""The correlation of a smooth process, and a root of it with as few columns as it takes.

With a lengthscale of a fifth of the range about 20 columns hold all of R(x, x) that is more than
rounding, however many the inputs are: whatever needs R needs them alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def correlation(a: ArrayLike, b: ArrayLike, lengthscale: float) -> FloatArray:
    """R(a, b), shape (len(a), len(b)).

    >>> correlation([0.0], [0.0, 0.2], 0.2).round(4)
    array([[1.    , 0.6065]])
    """
    gap = np.subtract.outer(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return np.asarray(np.exp(-0.5 * (gap / lengthscale) ** 2))


def correlation_root(x: FloatArray, lengthscale: float) -> FloatArray:
    """L (n, k) with LLᵀ = R(x, x) up to rounding: the Cholesky decomposition with pivots, which
    takes the input next that those before explain least, and stops when all are explained."""
    n = len(x)
    unexplained, columns = np.ones(n), np.empty((n, n))
    for k in range(n):
        pivot = int(unexplained.argmax())
        if unexplained[pivot] <= n * np.finfo(np.float64).eps:
            return columns[:, :k]
        known = columns[:, :k] @ columns[pivot, :k]
        column = correlation(x, x[pivot : pivot + 1], lengthscale)[:, 0] - known
        columns[:, k] = column / np.sqrt(unexplained[pivot])
        unexplained -= columns[:, k] ** 2
    return columns
