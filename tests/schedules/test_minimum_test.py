"""One test of a curve: what it sees, and that the short way to a verdict is the long one's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robustlr.schedules.loss_rise import has_risen, may_have_risen, standardised
from robustlr.schedules.minimum_test import judge, positive
from tests.benchmarks.auto_warmup_error_rates import DIPS, FALLING

CURVES = [*FALLING.values(), *(curve for curve, _ in DIPS.values())]


@st.composite
def noisy_curves(draw: st.DrawFn) -> NDArray[np.float64]:
    """Curves of known shapes, stopped anywhere, with any noise, scale, shift and outliers."""
    curve, n = draw(st.sampled_from(CURVES)), draw(st.integers(8, 140))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    clean = curve(draw(st.floats(0.05, 1.0)) * np.arange(n) / n)
    losses = clean * (1.0 + 10.0 ** draw(st.floats(-6.0, 0.0)) * rng.normal(size=n))
    losses[rng.random(n) < draw(st.sampled_from([0.0, 0.0, 0.02]))] *= 10.0
    return np.asarray(10.0 ** draw(st.integers(-6, 6)) * (losses + draw(st.floats(-10.0, 10.0))))


@given(
    losses=noisy_curves(),
    confidence=st.sampled_from([0.01, 0.5, 0.95, 0.999]),
    lengthscale=st.sampled_from([0.05, 0.2, 1.0]),
    votes=st.integers(1, 8),
)
@settings(max_examples=200, deadline=None)
def test_the_short_way_gives_the_same_verdict(
    losses: NDArray[np.float64], confidence: float, lengthscale: float, votes: int
) -> None:
    whole = judge(losses, lengthscale=lengthscale, votes=votes)
    short = positive(losses, confidence=confidence, lengthscale=lengthscale, votes=votes)
    assert short == (whole if whole.passed(confidence) else None)


@given(losses=noisy_curves())
@settings(max_examples=300, deadline=None)
def test_what_is_excluded_has_risen_from_no_minimum(losses: NDArray[np.float64]) -> None:
    y = standardised(losses)
    assert y is not None
    if not may_have_risen(y):
        assert not any(has_risen(y, minimum) for minimum in range(len(y)))


def test_little_is_let_through_that_has_not_risen() -> None:
    for seed, curve in enumerate(20 * CURVES):
        noise = np.random.default_rng(seed).normal(size=8 + seed % 120)
        y = standardised(curve(np.arange(len(noise)) / len(noise)) * (1.0 + 0.05 * noise))
        assert y is not None
        assert may_have_risen(y) == any(has_risen(y, minimum) for minimum in range(len(y)))


@pytest.mark.parametrize("n", [8, 9, 30, 127])
def test_what_lies_on_the_edge_is_let_through(n: int) -> None:
    # rises of zero error and zero height, where cumulative sums round either way
    for seed in range(50):
        levels = np.random.default_rng(seed).normal(size=4).round(1)
        y = standardised(np.repeat(levels, n // 4 + 1)[:n])
        if y is not None and any(has_risen(y, minimum) for minimum in range(n)):
            assert may_have_risen(y)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_a_fall_is_settled_without_a_process(noise: float) -> None:
    y = standardised(np.linspace(2.0, 0.5, 100) + noise * np.random.default_rng(0).normal(size=100))
    assert y is not None
    assert not may_have_risen(y)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_standardised_losses_have_no_units(scale: float) -> None:
    losses = np.abs(np.linspace(-1.0, 1.0, 50)) + 2.0
    y = standardised(scale * losses)
    assert y is not None
    np.testing.assert_allclose(y, (losses - losses.mean()) / losses.std(), atol=1e-12)
    assert standardised(np.full(9, scale)) is None


def test_an_explosion_is_cut_off_above_the_median() -> None:
    y = standardised(np.array([4.0, 3.0, 2.0, 1.0, 1e9]))
    cut = np.array([4.0, 3.0, 2.0, 1.0, 3.0 + 3.0 * (3.0 - 1.0)])
    np.testing.assert_allclose(y, (cut - cut.mean()) / cut.std())


@pytest.mark.parametrize("votes", [1, 2, 5])
def test_a_test_sees_a_clear_minimum_with_any_number_of_votes(votes: int) -> None:
    x = np.linspace(0.0, 1.0, 60)
    rising, falling = np.abs(x - 0.5), 1.0 - x
    verdict = judge(rising, lengthscale=0.2, votes=votes)
    assert verdict.passed(0.95)
    assert verdict.minimum == pytest.approx(0.5, abs=0.03)
    assert not judge(falling, lengthscale=0.2, votes=votes).passed(0.95)
    assert judge(falling, lengthscale=0.2, votes=votes).minimum == 1.0
