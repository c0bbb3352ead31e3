"""The Gaussian process against scikit-learn, a fine grid, and the dense formulas."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from robustlr.gp import LOG_RATIO_BOUNDS, GaussianProcess, Spectrum, correlation
from tests.gp.samples import LENGTHSCALE, FloatArray, even, noisy, uneven


def noise_variance(process: GaussianProcess) -> float:
    return process.signal_variance * float(np.exp(process.log_ratio))


@pytest.mark.parametrize("x", [even(40), even(41), uneven(40)], ids=["even", "odd", "uneven"])
def test_spectrum_rebuilds_the_correlation_matrix(x: FloatArray) -> None:
    spectrum = Spectrum.of(x, LENGTHSCALE)
    rebuilt = (spectrum.vectors * spectrum.values) @ spectrum.vectors.T
    np.testing.assert_allclose(rebuilt, correlation(x, x, LENGTHSCALE), atol=1e-13)
    np.testing.assert_allclose(
        spectrum.vectors.T @ spectrum.vectors, np.eye(len(spectrum.values)), atol=1e-13
    )


@pytest.mark.parametrize("x", [even(60), even(61), uneven(50)], ids=["even", "odd", "uneven"])
def test_posterior_is_scikit_learns_at_equal_hyperparameters(x: FloatArray) -> None:
    y = noisy(x)
    process = Spectrum.of(x, LENGTHSCALE).fit(y)
    kernel = ConstantKernel(process.signal_variance, "fixed") * RBF(LENGTHSCALE, "fixed")
    theirs = GaussianProcessRegressor(kernel, alpha=noise_variance(process), optimizer=None)
    theirs.fit(x[:, None], y - process.mean)
    grid = np.linspace(-0.1, 1.1, 37)
    mean, covariance = theirs.predict(grid[:, None], return_cov=True)
    np.testing.assert_allclose(process.posterior_mean(grid), mean + process.mean, atol=1e-6)
    np.testing.assert_allclose(process.posterior_covariance(grid), covariance, atol=1e-6)


def test_likelihood_is_scikit_learns_up_to_a_constant() -> None:
    x = even(50)
    spectrum, y = Spectrum.of(x, LENGTHSCALE), noisy(x)
    for log_ratio in (-6.0, -2.0, 3.0):
        process = spectrum.at(y, log_ratio)
        kernel = ConstantKernel(process.signal_variance, "fixed") * RBF(LENGTHSCALE, "fixed")
        theirs = GaussianProcessRegressor(kernel, alpha=noise_variance(process), optimizer=None)
        theirs.fit(x[:, None], y - process.mean)
        ours = -float(spectrum.objective(y, log_ratio)) - 25.0 * (1.0 + np.log(2.0 * np.pi))
        assert ours == pytest.approx(theirs.log_marginal_likelihood_value_, abs=1e-6)


def dense_objective(x: FloatArray, y: FloatArray, lengthscale: float, log_ratio: float) -> float:
    """½(n·log s² + log |R + r·I|), everything in full."""
    covariance = correlation(x, x, lengthscale) + np.exp(log_ratio) * np.eye(len(x))
    ones = np.linalg.solve(covariance, np.ones(len(x)))
    residual = y - (ones @ y) / ones.sum()
    variance = residual @ np.linalg.solve(covariance, residual) / len(x)
    return 0.5 * float(len(x) * np.log(variance) + np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("lengthscale", [0.01, 0.2, 2.0])
@pytest.mark.parametrize("x", [even(8), even(127), uneven(90)], ids=["few", "even", "uneven"])
def test_the_columns_left_out_change_no_likelihood(x: FloatArray, lengthscale: float) -> None:
    spectrum = Spectrum.of(x, lengthscale)
    assert len(spectrum.values) < 30 or lengthscale == 0.01
    for noise in (0.0, 0.01, 1.0):
        y = noisy(x, noise)
        for log_ratio in (-10.0, -5.0, 0.0, 5.0, 12.0):  # the dense solution itself is worse below
            expected = dense_objective(x, y, lengthscale, log_ratio)
            assert float(spectrum.objective(y, log_ratio)) == pytest.approx(expected, rel=1e-9)


def test_inputs_may_repeat() -> None:
    x = np.repeat(even(10), 4)
    y, spectrum = noisy(x), Spectrum.of(np.repeat(even(10), 4), LENGTHSCALE)
    assert len(spectrum.values) <= 10
    expected = dense_objective(x, y, LENGTHSCALE, -3.0)
    assert float(spectrum.objective(y, -3.0)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("noise", [0.001, 0.05, 0.5, 5.0])
@pytest.mark.parametrize("n", [8, 30, 101])
def test_fit_is_the_best_point_of_a_fine_grid(n: int, noise: float) -> None:
    x = even(n)
    spectrum, y = Spectrum.of(x, LENGTHSCALE), noisy(x, noise)
    fine = spectrum.objective(y, np.linspace(*LOG_RATIO_BOUNDS, 28_001))
    found = float(spectrum.objective(y, spectrum.fit(y).log_ratio))
    assert found <= fine.min() + 1e-6


@given(
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-100.0, 100.0),
    n=st.integers(8, 40),
)
@settings(max_examples=25, deadline=None)
def test_scale_and_shift_change_units_alone(scale: float, shift: float, n: int) -> None:
    x = even(n)
    spectrum, y = Spectrum.of(x, LENGTHSCALE), noisy(x)
    ours, moved = spectrum.fit(y), spectrum.fit(scale * (y + shift))
    assert moved.log_ratio == pytest.approx(ours.log_ratio, abs=1e-3)
    expected = scale * (ours.posterior_mean(x) + shift)
    np.testing.assert_allclose(moved.posterior_mean(x), expected, rtol=1e-4, atol=1e-3 * scale)


def test_a_constant_is_fitted_by_itself() -> None:
    process = Spectrum.of(even(20), LENGTHSCALE).fit(np.full(20, 7.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(process.posterior_mean([0.0, 0.5]), 7.0)
    assert noise_variance(process) < 1e-20
