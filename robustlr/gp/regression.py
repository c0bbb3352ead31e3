"""Exact one-dimensional Gaussian-process regression through one low-rank decomposition.

Notation
    x, y    n inputs and targets;  y_a = μ + f(x_a) + ε_a,  ε_a ~ N(0, s²r) independent
    f       zero-mean process with covariance s²·R(x, x'),  R = exp(−(x − x')²/(2ℓ²))
    ℓ       lengthscale, given and never fitted
    r       noise variance over signal variance, the only hyperparameter searched for
    Q, l    eigenvectors and eigenvalues of the correlation matrix of x: R = Q·diag(l)·Qᵀ, the
            k columns alone whose l is more than rounding (about 20 at ℓ = 0.2, whatever n)
    z, o    Qᵀy and Qᵀ1;  d = l + r, eigenvalues of R + r·I
    ⟂       the part of a vector outside Q's columns, where every eigenvalue of R + r·I is r:
            y⟂ = y − Qz, 1⟂ = 1 − Qo
    ⟨a, b⟩  aᵀ(R + r·I)⁻¹b, such as ⟨1, y⟩ = Σ(oz/d) + 1⟂·y⟂/r
    μ, s²   profiled out: ⟨1, y⟩/⟨1, 1⟩ and ⟨y − μ, y − μ⟩/n
    e       z − μo
    A       R(grid, x)·Q;  the latent posterior on a grid has mean μ + A(e/d) and
            covariance s²·(R(grid, grid) − A·diag(1/d)·Aᵀ)

With ℓ fixed, Q and l do not depend on the hyperparameters: one evaluation of the profile
likelihood is O(k), and the decomposition can be shared by several y on the same x.
Multiplying y by a constant multiplies μ and s and leaves r alone.

Reference: Rasmussen & Williams 2006, equations 2.25, 2.26 and 5.8; the rotation by Q is the
one of FaST-LMM (Lippert et al. 2011), its low-rank case included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from robustlr.gp.correlation import FloatArray, correlation, correlation_root

LOG_RATIO_BOUNDS = (-16.0, 12.0)
"""Range of log r: from noise at one part in 10⁷ of the signal's variance to noise alone."""
_COARSE = np.linspace(*LOG_RATIO_BOUNDS, 29)
_FINE = np.linspace(-1.0, 1.0, 17)
_ROUNDS = 4


@dataclass(frozen=True)
class Spectrum:
    """The inputs x (n,), the lengthscale, and the decomposition l (k,), Q (n, k) of R(x, x)."""

    x: FloatArray
    lengthscale: float
    values: FloatArray
    vectors: FloatArray

    @classmethod
    def of(cls, x: ArrayLike, lengthscale: float) -> Spectrum:
        """Decompose the correlation matrix of `x`; O(nk²)."""
        points = np.asarray(x, dtype=np.float64)
        root = correlation_root(points, lengthscale)
        vectors, singular, _ = np.linalg.svd(root, full_matrices=False)
        return cls(points, lengthscale, singular**2, vectors)

    def objective(self, y: ArrayLike, log_ratio: ArrayLike) -> FloatArray:
        """½(n·log s² + Σ log d) at each log r, shape of `log_ratio`, the sum over all n: minus
        the profile log likelihood, up to ½n(1 + log 2π)."""
        metric = self._metric(np.asarray(log_ratio, dtype=np.float64))
        return self._objective(self._rotated(y), metric)

    def fit(self, y: ArrayLike) -> GaussianProcess:
        """The process at the r of highest likelihood in `LOG_RATIO_BOUNDS`.

        A grid and then ever finer ones around the best point: the likelihood can have two
        optima, and the search takes the same steps whatever the scale of y.
        """
        targets = np.asarray(y, dtype=np.float64)
        lo, hi = LOG_RATIO_BOUNDS
        rotated = self._rotated(targets)
        if targets.max() == targets.min():  # every r explains a constant: take it for noise-free
            return self._at(rotated, lo)
        best = float(_COARSE[self._objective(rotated, self._coarse).argmin()])
        step = float(_COARSE[1] - _COARSE[0])
        for _ in range(_ROUNDS):
            candidates = np.minimum(np.maximum(best + step * _FINE, lo), hi)
            scores = self._objective(rotated, self._metric(candidates))
            best = float(candidates[scores.argmin()])
            step *= float(_FINE[1] - _FINE[0])
        return self._at(rotated, best)

    def at(self, y: ArrayLike, log_ratio: float) -> GaussianProcess:
        """The process at a given log r, μ and s² profiled out."""
        return self._at(self._rotated(y), log_ratio)

    def _at(self, rotated: _Rotated, log_ratio: float) -> GaussianProcess:
        metric = self._metric(np.float64(log_ratio))
        _, cross, ones = metric.products(rotated.products, rotated.outside)
        shift = float(cross / ones)
        residual = rotated.within - shift * self._ones
        outside = rotated.beyond - shift * self._ones_beyond
        weights = residual * metric.inverse
        squares = float(residual @ weights + (outside @ outside) * metric.inverse_outside)
        mean, variance = rotated.centre + shift, squares / len(self.x)
        return GaussianProcess(self, log_ratio, mean, variance, weights, rotated.centred - shift)

    @cached_property
    def features(self) -> FloatArray:
        """Φ = Q·diag(√l), (n, k): R = ΦΦᵀ."""
        return self.vectors * np.sqrt(self.values)

    @cached_property
    def _ones(self) -> FloatArray:
        return np.asarray(self.vectors.sum(axis=0))

    @cached_property
    def _ones_beyond(self) -> FloatArray:
        return 1.0 - self.vectors @ self._ones

    @cached_property
    def _coarse(self) -> _Metric:
        return self._metric(_COARSE)

    def _metric(self, log_ratio: FloatArray | np.float64) -> _Metric:
        ratio = np.exp(log_ratio)
        d = self.values + ratio[..., None]
        outside = len(self.x) - len(self.values)
        return _Metric(1.0 / d, 1.0 / ratio, np.log(d).sum(axis=-1) + outside * log_ratio)

    def _rotated(self, y: ArrayLike) -> _Rotated:
        targets = np.asarray(y, dtype=np.float64)
        # Centred first: ⟨y − μ, y − μ⟩ is a difference, and most of a large μ would cancel.
        centre = float(np.add.reduce(targets) / len(targets))
        centred = targets - centre
        within, ones, ones_beyond = self.vectors.T @ centred, self._ones, self._ones_beyond
        beyond = centred - self.vectors @ within
        products = np.array([within * within, within * ones, ones * ones])
        outside = np.array([beyond @ beyond, beyond @ ones_beyond, ones_beyond @ ones_beyond])
        return _Rotated(centre, centred, within, beyond, products, outside)

    def _objective(self, rotated: _Rotated, metric: _Metric) -> FloatArray:
        squares, cross, ones = metric.products(rotated.products, rotated.outside)
        log_variance = np.log((squares - cross * cross / ones) / len(self.x))
        return np.asarray(0.5 * (len(self.x) * log_variance + metric.log_determinant))


@dataclass(frozen=True, slots=True)
class _Rotated:
    """y less its mean (`centre`): z (`within`), y⟂ (`beyond`), and what ⟨y, y⟩, ⟨1, y⟩ and
    ⟨1, 1⟩ sum up, within Q's columns (3, k) and outside them (3,)."""

    centre: float
    centred: FloatArray
    within: FloatArray
    beyond: FloatArray
    products: FloatArray
    outside: FloatArray


@dataclass(frozen=True, slots=True)
class _Metric:
    """(R + r·I)⁻¹ for one r or a row of them: 1/d, 1/r and the sum of all n log d."""

    inverse: FloatArray
    inverse_outside: FloatArray | np.float64
    log_determinant: FloatArray | np.float64

    def products(self, within: FloatArray, outside: FloatArray) -> FloatArray:
        """⟨y, y⟩, ⟨1, y⟩ and ⟨1, 1⟩: shape (3,), or (3, len(r))."""
        return np.asarray(
            within @ self.inverse.T + np.multiply.outer(outside, self.inverse_outside)
        )


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted process: log r, μ (`mean`), s² (`signal_variance`), e/d (`weights`) and y − μ."""

    spectrum: Spectrum
    log_ratio: float
    mean: float
    signal_variance: float
    weights: FloatArray
    residual: FloatArray

    def posterior_mean(self, grid: ArrayLike) -> FloatArray:
        """E[μ + f] at `grid` (m,), without noise."""
        return np.asarray(self.mean + self._projection(grid) @ self.weights)

    def posterior_covariance(self, grid: ArrayLike) -> FloatArray:
        """Covariance (m, m) of f at `grid`, without noise."""
        projected = self._projection(grid)
        prior = correlation(grid, grid, self.spectrum.lengthscale)
        d = self.spectrum.values + np.exp(self.log_ratio)
        return np.asarray(self.signal_variance * (prior - (projected / d) @ projected.T))

    def _projection(self, grid: ArrayLike) -> FloatArray:
        across = correlation(grid, self.spectrum.x, self.spectrum.lengthscale)
        return np.asarray(across @ self.spectrum.vectors)
