"""One test of a curve: what it sees, and that the short way to a verdict is the long one's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.schedules.loss_rise import has_risen, may_have_risen, standardised
from robustlr.schedules.minimum_test import confirmed, judge
from tests.benchmarks.auto_warmup_error_rates import DIPS, FALLING
from tests.schedules.whole_test import whole_test

CURVES = [*FALLING.values(), *(curve for curve, _ in DIPS.values())]


@st.composite
def noisy_curves(draw: st.DrawFn) -> list[float]:
    """Curves of known shapes, stopped anywhere, with any noise, scale, shift and outliers."""
    curve, n = draw(st.sampled_from(CURVES)), draw(st.integers(8, 140))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    clean = curve(draw(st.floats(0.05, 1.0)) * np.arange(n) / n)
    losses = clean * (1.0 + 10.0 ** draw(st.floats(-6.0, 0.0)) * rng.normal(size=n))
    losses[rng.random(n) < draw(st.sampled_from([0.0, 0.0, 0.02]))] *= 10.0
    moved = 10.0 ** draw(st.integers(-6, 6)) * (losses + draw(st.floats(-10.0, 10.0)))
    return [float(loss) for loss in moved]


def risen_from_any(losses: list[float]) -> bool:
    y = standardised(losses)
    return y is not None and any(has_risen(y, minimum) for minimum in range(len(y)))


@given(
    losses=noisy_curves(),
    lengthscale=st.sampled_from([0.05, 0.2, 1.0]),
    votes=st.integers(1, 8),
)
@settings(max_examples=200, deadline=None)
def test_the_short_way_gives_the_same_verdict(
    losses: list[float], lengthscale: float, votes: int
) -> None:
    short = confirmed(losses, lengthscale=lengthscale, votes=votes)
    assert short == whole_test(losses, lengthscale=lengthscale, votes=votes)


@given(losses=noisy_curves())
@settings(max_examples=300, deadline=None)
def test_what_is_excluded_has_risen_from_no_minimum(losses: list[float]) -> None:
    if not may_have_risen(losses):
        assert not risen_from_any(losses)


@given(losses=st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.1]), min_size=8, max_size=60))
@settings(max_examples=300, deadline=None)
def test_ties_are_excluded_no_more(losses: list[float]) -> None:
    # rises without error, and of no height at all, where sums round either way
    if not may_have_risen(losses):
        assert not risen_from_any(losses)


def test_most_of_what_has_not_risen_is_excluded() -> None:
    not_risen = let_through = 0
    for seed, curve in enumerate(40 * CURVES):
        noise = np.random.default_rng(seed).normal(size=8 + seed % 120)
        clean = curve(np.arange(len(noise)) / len(noise))
        losses = (clean * (1.0 + 0.05 * noise)).tolist()
        if not risen_from_any(losses):
            not_risen += 1
            let_through += may_have_risen(losses)
    assert not_risen > 150
    assert let_through == 0


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_standardised_losses_have_no_units(scale: float) -> None:
    losses = np.abs(np.linspace(-1.0, 1.0, 50)) + 2.0
    y = standardised((scale * losses).tolist())
    assert y is not None
    np.testing.assert_allclose(y, (losses - losses.mean()) / losses.std(), atol=1e-12)
    assert standardised([scale] * 9) is None


def test_an_explosion_is_cut_off_above_the_median() -> None:
    y = standardised([4.0, 3.0, 2.0, 1.0, 1e9])
    cut = np.array([4.0, 3.0, 2.0, 1.0, 3.0 + 3.0 * (3.0 - 1.0)])
    np.testing.assert_allclose(y, (cut - cut.mean()) / cut.std())


@pytest.mark.parametrize("votes", [1, 2, 5])
def test_a_test_sees_a_clear_minimum_with_any_number_of_votes(votes: int) -> None:
    x = np.linspace(0.0, 1.0, 60)
    rising, falling = np.abs(x - 0.5).tolist(), (1.0 - x).tolist()
    verdict = confirmed(rising, lengthscale=0.2, votes=votes)
    assert verdict is not None
    assert verdict.probability > 0.95
    assert verdict.minimum == pytest.approx(0.5, abs=0.03)
    assert confirmed(falling, lengthscale=0.2, votes=votes) is None
    assert judge(falling, lengthscale=0.2, votes=votes).probability < 0.05
    assert judge(falling, lengthscale=0.2, votes=votes).minimum == 1.0
