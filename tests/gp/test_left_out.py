"""Leaving observations out, against the dense formulas."""

from __future__ import annotations

import numpy as np
import pytest

from robustlr.gp import Spectrum, correlation, rise
from tests.gp.samples import LENGTHSCALE, even, noisy


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize("log_ratio", [-9.0, -2.0, 2.0])
def test_rise_is_that_of_the_dense_formulas(n: int, log_ratio: float) -> None:
    x, votes = even(n), 4
    process = Spectrum.of(x, LENGTHSCALE).at(noisy(x), log_ratio)
    means, variances = rise(process, votes)
    (whole_mean,), (whole_variance,) = rise(process)
    cases = [(whole_mean, whole_variance, np.arange(n))]
    for vote in range(votes):
        kept = np.delete(np.arange(n), slice(vote, None, votes))
        cases.append((means[vote], variances[vote], kept))
    prior = correlation(x, x, LENGTHSCALE)
    for found_mean, found_variance, kept in cases:
        observed = prior[np.ix_(kept, kept)] + np.exp(log_ratio) * np.eye(len(kept))
        gain = np.linalg.solve(observed, prior[kept]).T
        mean = process.mean + gain @ (noisy(x) - process.mean)[kept]
        covariance = process.signal_variance * (prior - gain @ prior[kept])
        variance = np.diag(covariance) + covariance[-1, -1] - 2.0 * covariance[:, -1]
        np.testing.assert_allclose(found_mean, mean, atol=1e-8)
        np.testing.assert_allclose(found_variance, variance, atol=1e-8)
