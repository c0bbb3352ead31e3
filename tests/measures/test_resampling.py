"""Weights, means and intervals against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from robustlr.measures.resampling import expanded_quantile, make_plan, weighted_mean


def test_rows_are_the_seeds_then_resamples_then_each_left_out() -> None:
    weights = make_plan(4, resamples=7).plain.report
    assert weights.shape == (1 + 7 + 4, 4)
    assert (weights[0] == 1).all()
    assert (weights[1:8].sum(axis=1) == 4).all()
    assert (weights[8:] == 1 - np.eye(4)).all()


def test_a_plan_is_fixed_by_its_seed() -> None:
    one, same, other = (make_plan(5, resamples=9, seed=s).plain.report for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_cross_fitting_never_reports_with_a_seed_that_chose() -> None:
    plan = make_plan(5, resamples=20, cross_fit=True)
    assert len(plan.folds) == 2
    for fold in plan.folds:
        assert not ((fold.select > 0) & (fold.report > 0)).any()
        assert (fold.select[:21].sum(axis=1) > 0).all()
        assert (fold.report[:21].sum(axis=1) > 0).all()
    assert_allclose(sum(fold.report for fold in plan.folds), plan.plain.report)


def test_cross_fitting_one_seed_is_left_out() -> None:
    plan = make_plan(1, resamples=3, cross_fit=True)
    assert plan.folds == (plan.plain,)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
def test_weighted_mean_is_the_mean_of_repeated_values(seed: int, n: int, holes: bool) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(3, n)) * 10.0 ** generator.integers(-6, 6)
    if holes:
        values[generator.random(values.shape) < 0.3] = np.nan
    weights = make_plan(n, resamples=5, seed=seed % 100).plain.report
    found = weighted_mean(values, weights)
    for i, row in enumerate(values):
        for r, weight in enumerate(weights):
            repeated = np.repeat(row, weight.astype(int))
            repeated = repeated[~np.isnan(repeated)]
            expected = repeated.mean() if len(repeated) else np.nan
            assert_allclose(
                found[i, r], expected, rtol=1e-9, atol=1e-12 * np.nanmax(np.abs(values), initial=0)
            )


def test_equal_runs_have_equal_means_to_the_bit() -> None:
    values = np.tile(np.random.default_rng(0).normal(size=7), (50, 1))
    means = weighted_mean(values, make_plan(7, resamples=100).plain.report)
    assert (means == means[:1]).all()


def test_interval_of_a_normal_mean_is_students() -> None:
    """With many resamples the expanded percentiles approach the t interval."""
    generator = np.random.default_rng(0)
    plan = make_plan(10, resamples=100_000)
    ratios = []
    for _ in range(20):
        sample = generator.normal(size=10)
        _, low, high = plan.summary(weighted_mean(sample, plan.plain.report), 10)
        t = stats.t.interval(0.95, 9, sample.mean(), sample.std(ddof=1) / np.sqrt(10))
        ratios.append((high - low) / (t[1] - t[0]))
    assert abs(np.mean(ratios) - 1.0) < 0.05


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_interval_is_invariant_to_affine_maps(interval: str) -> None:
    plan = make_plan(8, resamples=400, interval=interval)  # type: ignore[arg-type]
    sample = np.random.default_rng(3).exponential(size=8)
    value, low, high = plan.summary(weighted_mean(sample, plan.plain.report), 8)
    moved = plan.summary(weighted_mean(5.0 - 2.0 * sample, plan.plain.report), 8)
    assert_allclose(moved, [5 - 2 * value, 5 - 2 * high, 5 - 2 * low], rtol=0.02)


def test_bca_agrees_with_scipy() -> None:
    """Without expansion: scipy's BCa of a mean, up to its own resampling noise."""
    sample = np.random.default_rng(1).exponential(size=15)
    plan = make_plan(15, resamples=20_000, interval="bca")
    _, low, high = plan.summary(weighted_mean(sample, plan.plain.report), 15, expand=False)
    theirs = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    assert_allclose([low, high], [theirs.low, theirs.high], rtol=0.02)


def test_one_seed_has_no_interval() -> None:
    plan = make_plan(1, resamples=10)
    value, low, high = plan.summary(weighted_mean(np.array([2.0]), plan.plain.report), 1)
    assert value == 2.0
    assert np.isnan(low)
    assert np.isnan(high)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_misses_stay_infinite_and_unknowns_are_passed_over(interval: str) -> None:
    plan = make_plan(3, resamples=6, interval=interval)  # type: ignore[arg-type]
    draws = np.array([2.0, 1.0, np.nan, np.inf, np.inf, 3.0, 2.0, 2.0, np.inf, 2.0])
    value, low, high = plan.summary(draws, 3)
    assert (float(value), float(high)) == (2.0, np.inf)
    assert 1.0 <= low <= 2.0


def test_expansion_vanishes_with_many_seeds() -> None:
    assert expanded_quantile(2) > 17
    assert expanded_quantile(10_000) == pytest.approx(1.96, abs=1e-3)
