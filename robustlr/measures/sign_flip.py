"""Paired sign-flip test: if two schedules are alike, each seed's difference may as well be negated.

    p = share of all sign patterns with |Σ_k ±d_k| ≥ |Σ_k d_k|        (two-sided)

Exact up to EXACT_SEEDS seeds; beyond that, over as many random patterns. With n seeds the least
p is 2/2ⁿ: five seeds cannot reach p < 0.05.
"""

from __future__ import annotations

import numpy as np

from robustlr.measures.cube import FloatArray

EXACT_SEEDS = 14
LEAST_SEEDS = 6
"""With fewer no test can reach p < 0.05: 2/2⁵ = 0.0625."""


def sign_flip_test(differences: FloatArray, *, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """(p, the least p attainable) for differences [..., n]; NaN marks seeds without a pair.

    Both are NaN where there is no pair.

    >>> p, least = sign_flip_test(np.full(6, 0.3))
    >>> float(p), float(least)
    (0.03125, 0.03125)
    """
    paired = ~np.isnan(differences)
    signs = _signs(differences.shape[-1], seed)
    sums = np.abs(np.where(paired, differences, 0.0) @ signs.T)
    observed = sums[..., :1]
    p = np.mean(sums >= observed * (1.0 - 1e-9), axis=-1)
    pairs = np.asarray(paired.sum(axis=-1))
    least = np.maximum(0.5 ** (pairs - 1.0), 1.0 / len(signs))
    return np.where(pairs > 0, p, np.nan), np.where(pairs > 0, least, np.nan)


def _signs(n: int, seed: int) -> FloatArray:
    """Sign patterns [F, n], the first all +1; by symmetry the last seed's sign stays when exact."""
    if n <= EXACT_SEEDS:
        bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(2 ** (EXACT_SEEDS - 1), n))
        bits[0] = 0
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)
