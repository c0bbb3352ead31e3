"""Exact one-dimensional Gaussian-process regression through one eigendecomposition.

Notation
    x, y    n inputs and targets;  y_a = μ + f(x_a) + ε_a,  ε_a ~ N(0, s²r) independent
    f       zero-mean process with covariance s²·R(x, x'),  R = exp(−(x − x')²/(2ℓ²))
    ℓ       lengthscale, given and never fitted
    r       noise variance over signal variance, the only hyperparameter searched for
    Q, l    eigenvectors and eigenvalues of the correlation matrix of x: R = Q·diag(l)·Qᵀ
    z, o    Qᵀy and Qᵀ1;  d = l + r, the eigenvalues of R + r·I
    μ, s²   profiled out: Σ(oz/d)/Σ(o²/d) and mean(e²/d), where e = z − μo
    A       R(grid, x)·Q;  the latent posterior on a grid has mean μ + A(e/d) and
            covariance s²·(R(grid, grid) − A·diag(1/d)·Aᵀ)

With ℓ fixed, Q and l do not depend on the hyperparameters: one evaluation of the profile
likelihood is O(n), and the decomposition can be shared by several y on the same x.
Multiplying y by a constant multiplies μ and s and leaves r alone.

Reference: Rasmussen & Williams 2006, equations 2.25, 2.26 and 5.8; the rotation by Q is the
one of FaST-LMM (Lippert et al. 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LOG_RATIO_BOUNDS = (-16.0, 12.0)
"""Range of log r: from noise at one part in 10⁷ of the signal's variance to noise alone."""
_COARSE, _FINE, _ROUNDS = 29, 17, 4


def correlation(a: ArrayLike, b: ArrayLike, lengthscale: float) -> FloatArray:
    """R(a, b), shape (len(a), len(b)).

    >>> correlation([0.0], [0.0, 0.2], 0.2).round(4)
    array([[1.    , 0.6065]])
    """
    gap = np.subtract.outer(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return np.asarray(np.exp(-0.5 * (gap / lengthscale) ** 2))


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The inputs x (n,), the lengthscale, and the decomposition l (n,), Q (n, n) of R(x, x)."""

    x: FloatArray
    lengthscale: float
    values: FloatArray
    vectors: FloatArray

    @classmethod
    def of(cls, x: ArrayLike, lengthscale: float) -> Spectrum:
        """Decompose the correlation matrix of `x`; O(n³), the only cubic step."""
        points = np.asarray(x, dtype=np.float64)
        values, vectors = _decomposed(points, lengthscale)
        # R is positive semi-definite; what rounding leaves below zero is zero.
        return cls(points, lengthscale, np.maximum(values, 0.0), vectors)

    def objective(self, y: ArrayLike, log_ratio: ArrayLike) -> FloatArray:
        """½(n·log s² + Σ log d) at each log r, shape of `log_ratio`: minus the profile log
        likelihood, up to ½n(1 + log 2π)."""
        return self._objective(*self._rotated(y), np.asarray(log_ratio, dtype=np.float64))

    def fit(self, y: ArrayLike) -> GaussianProcess:
        """The process at the r of highest likelihood in `LOG_RATIO_BOUNDS`.

        A grid and then ever finer ones around the best point: the likelihood can have two
        optima, and the search takes the same steps whatever the scale of y.
        """
        lo, hi = LOG_RATIO_BOUNDS
        if np.ptp(y) == 0.0:  # every r explains a constant: take it for noise-free
            return self.at(y, lo)
        rotated, ones = self._rotated(y)
        step = (hi - lo) / (_COARSE - 1)
        candidates = np.linspace(lo, hi, _COARSE)
        best = float(candidates[np.argmin(self._objective(rotated, ones, candidates))])
        for _ in range(_ROUNDS):
            candidates = np.clip(np.linspace(best - step, best + step, _FINE), lo, hi)
            best = float(candidates[np.argmin(self._objective(rotated, ones, candidates))])
            step *= 2.0 / (_FINE - 1)
        return self.at(y, best)

    def at(self, y: ArrayLike, log_ratio: float) -> GaussianProcess:
        """The process at a given log r, μ and s² profiled out."""
        rotated, ones = self._rotated(y)
        d = self.values + np.exp(log_ratio)
        mean = float(np.sum(ones * rotated / d) / np.sum(ones * ones / d))
        residual = rotated - mean * ones
        variance = float(np.mean(residual * residual / d))
        centred = np.asarray(y, dtype=np.float64) - mean
        return GaussianProcess(self, log_ratio, mean, variance, residual / d, centred)

    def _rotated(self, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        return self.vectors.T @ np.asarray(y, dtype=np.float64), self.vectors.sum(axis=0)

    def _objective(
        self, rotated: FloatArray, ones: FloatArray, log_ratio: FloatArray
    ) -> FloatArray:
        d = self.values + np.exp(log_ratio)[..., None]
        mean = np.sum(ones * rotated / d, axis=-1) / np.sum(ones * ones / d, axis=-1)
        residual = rotated - mean[..., None] * ones
        log_variance = np.log(np.mean(residual * residual / d, axis=-1))
        return np.asarray(0.5 * (len(self.x) * log_variance + np.sum(np.log(d), axis=-1)))


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted process: log r, μ (`mean`), s² (`signal_variance`), e/d (`weights`) and y − μ."""

    spectrum: Spectrum
    log_ratio: float
    mean: float
    signal_variance: float
    weights: FloatArray
    residual: FloatArray

    @property
    def noise_variance(self) -> float:
        """s²r, the variance of one observation around the curve."""
        return self.signal_variance * float(np.exp(self.log_ratio))

    def posterior_mean(self, grid: ArrayLike) -> FloatArray:
        """E[μ + f] at `grid` (m,), without noise."""
        return np.asarray(self.mean + self._projection(grid) @ self.weights)

    def posterior_covariance(self, grid: ArrayLike) -> FloatArray:
        """Covariance (m, m) of f at `grid`, without noise."""
        projected = self._projection(grid)
        prior = correlation(grid, grid, self.spectrum.lengthscale)
        return np.asarray(self.signal_variance * (prior - (projected / self._d) @ projected.T))

    def rise(self, votes: int = 1) -> tuple[FloatArray, FloatArray]:
        """E[μ + f(x_i)] and Var(f(x_n) − f(x_i)), both (votes, n): is the last input higher?

        votes: v of them, the k-th without the observations k, k + v, k + 2v, ... at the same
        r, μ and s²; a single vote leaves nothing out.

        At the inputs f = s·Φw with Φ = Q·diag(√l) and w ~ N(0, I), whose columns of l = 0 do
        nothing: with the observed rows Φ_o, Λ = Φ_oᵀΦ_o + r·I is small, E[s·w] = Λ⁻¹Φ_oᵀ(y − μ)_o
        and Cov(w) = rΛ⁻¹. The differences of rows of Φ are formed before the squares, so that
        no variance of two close points is lost to cancellation.
        """
        values, ratio = self.spectrum.values, np.exp(self.log_ratio)
        present = values > np.finfo(np.float64).eps * len(values) * values.max()
        features = self.spectrum.vectors[:, present] * np.sqrt(values[present])
        rank = features.shape[1]
        gaps = features[-1] - features
        precision = np.empty((votes, rank, rank))
        right = np.empty((votes, rank, 1 + len(values)))
        right[:, :, 1:] = gaps.T
        for vote in range(votes):
            kept = np.ones(len(values), dtype=bool)
            kept[vote::votes] = votes == 1
            observed = features[kept]
            precision[vote] = observed.T @ observed + ratio * np.eye(rank)
            right[vote, :, 0] = observed.T @ self.residual[kept]
        solved = np.linalg.solve(precision, right)
        mean = self.mean + solved[:, :, 0] @ features.T
        explained = np.einsum("ip,vpi->vi", gaps, solved[:, :, 1:])
        return mean, self.signal_variance * ratio * np.maximum(explained, 0.0)

    @property
    def _d(self) -> FloatArray:
        return np.asarray(self.spectrum.values + np.exp(self.log_ratio))

    def _projection(self, grid: ArrayLike) -> FloatArray:
        across = correlation(grid, self.spectrum.x, self.spectrum.lengthscale)
        return np.asarray(across @ self.spectrum.vectors)


def _decomposed(x: FloatArray, lengthscale: float) -> tuple[FloatArray, FloatArray]:
    """l and Q of R(x, x), from two problems of half the size where x mirrors itself.

    For x symmetric about its centre, R commutes with the reversal J: every eigenvector is
    even, (u, Ju)/√2, or odd, (u, −Ju)/√2, where u belongs to A + B or A − B with
    A = R(first half, first half) and B = R(first half, second half reversed).
    """
    half, odd = divmod(len(x), 2)
    if odd or not np.allclose(x + x[::-1], x[0] + x[-1], rtol=0.0, atol=1e-12 * np.ptp(x)):
        values, vectors = np.linalg.eigh(correlation(x, x, lengthscale))
        return values, vectors
    within = correlation(x[:half], x[:half], lengthscale)
    across = correlation(x[:half], x[: -half - 1 : -1], lengthscale)
    even_values, even = np.linalg.eigh(within + across)
    odd_values, odds = np.linalg.eigh(within - across)
    vectors = np.block([[even, odds], [even[::-1], -odds[::-1]]]) / np.sqrt(2.0)
    return np.concatenate([even_values, odd_values]), vectors
