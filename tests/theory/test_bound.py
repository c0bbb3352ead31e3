"""B(η), R(ρ) and the grid's penalty against closed forms and brute force."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.schedules import WSD, Cosine, Fixed, InverseSqrt, Polynomial, Tabulated, parse
from robustlr.theory import Bound, continuous_bound

RHO = np.array([1e-3, 0.1, 0.7, 1.0, 1.2, 2.0, 10.0, 100.0, 1e4])


def polynomial_ratio(p: float, rho: float) -> float:
    """min_{s ≤ 1} ½(s^−(p+1)/ρ + ρ·s^p)."""
    s = min(1.0, ((p + 1) / (p * rho**2)) ** (1 / (2 * p + 1)))
    return 0.5 * (s ** -(p + 1) / rho + rho * s**p)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 12.0))
def test_polynomials_of_any_degree_match_their_closed_form(p: float) -> None:
    bound = continuous_bound(Polynomial(degree=p))
    assert bound.best == pytest.approx((p + 1) / math.sqrt(p), rel=1e-6)
    assert bound.best_lr == pytest.approx(math.sqrt(p), rel=1e-6)
    expected = [polynomial_ratio(p, rho) for rho in RHO]
    np.testing.assert_allclose(bound.ratio(RHO), expected, rtol=1e-6)
    assert bound.exponent == pytest.approx(1 / (2 * p + 1), abs=1e-6)


@pytest.mark.parametrize(
    ("shorthand", "exponent"),
    [
        ("fixed", 1.0),
        ("inverse_sqrt", 1.0),
        ("linear", 1 / 3),
        ("wsd", 1 / 3),
        ("wsd:decay_fraction=0.001", 1 / 3),
        ("polynomial:degree=2", 1 / 5),
        ("cosine", 1 / 5),
        ("cosine+warmup=0.05", 1 / 5),
        ("polynomial:degree=3", 1 / 7),
    ],
)
def test_exponents_of_the_paper(shorthand: str, exponent: float) -> None:
    bound = continuous_bound(parse(shorthand))
    assert bound.exponent == pytest.approx(exponent, abs=2e-6)
    # and the curve itself comes to have that slope
    assert bound.slope(1e6, 1e8) == pytest.approx(exponent, abs=2e-3)


@pytest.mark.parametrize("kind", ["linear", "cosine", "polynomial:degree=3", "wsd", "fixed"])
def test_too_small_costs_every_schedule_the_same(kind: str) -> None:
    rho = np.array([0.01, 0.3, 0.9])
    ratio = continuous_bound(parse(kind)).ratio(rho)
    np.testing.assert_allclose(ratio, (rho + 1 / rho) / 2, rtol=1e-8)


@pytest.mark.parametrize("schedule", [Fixed(), InverseSqrt(), Cosine(final_multiplier=0.1)])
def test_without_annealing_the_average_pays_on_both_sides(schedule: Fixed) -> None:
    bound = continuous_bound(schedule)
    assert bound.iterate == "average"
    np.testing.assert_allclose(bound.ratio(RHO), (RHO + 1 / RHO) / 2, rtol=1e-12)


def test_the_infimum_over_restarts_against_a_dense_scan() -> None:
    bound = continuous_bound(WSD())
    s = np.geomspace(1e-6, 1.0, 400_000)
    H = np.where(s <= 0.2, s**2 / 0.4, s - 0.1)
    Q = np.where(s <= 0.2, 10 * s, 2 + np.log(np.maximum(10 * H, 1.0)))
    for x in (0.05, 0.5, 1.0, 7.0, 300.0):
        scan = ((1 / H / x + x * Q) / 2).min()
        assert float(bound.value(x)) == pytest.approx(scan, rel=1e-7)


def test_a_large_start_is_skipped_where_that_is_better() -> None:
    # a spike over the first percent that the analysis does better without
    spiked = Tabulated(fractions=(0, 0.01, 0.0100001, 1), multipliers=(1, 1, 0.02, 0))
    bound = continuous_bound(spiked)
    linear = continuous_bound(Polynomial())
    assert float(bound.ratio(1.0)) == 1.0
    assert (bound.ratio(np.geomspace(0.1, 10, 101)) >= 1.0 - 1e-9).all()
    assert bound.best <= linear.best / math.sqrt(0.99) * (1 + 1e-6)


def test_units() -> None:
    bound = continuous_bound(Cosine())
    D, G, T = 3.0, 0.5, 10_000
    unit = D / (G * math.sqrt(T))
    tuned = bound.value(bound.best_lr * unit, diameter=D, gradient=G, num_steps=T)
    assert float(tuned) == pytest.approx(bound.best * D * G / math.sqrt(T))


@pytest.mark.parametrize("kind", ["fixed", "linear", "cosine", "wsd", "polynomial:degree=3"])
@pytest.mark.parametrize("ratio", [1.5, 10.0, 1000.0])
def test_grid_penalty_against_every_offset(kind: str, ratio: float) -> None:
    bound = continuous_bound(parse(kind))
    steps = 400
    rho = np.exp(np.log(ratio) * np.arange(-2 * steps, 2 * steps + 1) / steps)
    curve = bound.ratio(rho)
    best_of_grid = [curve[offset::steps].min() for offset in range(steps)]
    assert bound.grid_penalty(ratio) == pytest.approx(max(best_of_grid), rel=5e-3)
    assert bound.grid_penalty(ratio) >= max(best_of_grid) * (1 - 1e-9)


def test_grid_penalty_of_the_average_in_closed_form() -> None:
    bound = continuous_bound(Fixed())
    for ratio in (1.0, 4.0, 100.0):
        expected = (math.sqrt(ratio) + 1 / math.sqrt(ratio)) / 2
        assert bound.grid_penalty(ratio) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("kind", "p"), [("linear", 1), ("cosine", 2), ("polynomial:degree=3", 3)])
def test_grid_penalty_grows_with_its_power(kind: str, p: int) -> None:
    bound = continuous_bound(parse(kind))
    growth = math.log(bound.grid_penalty(1e8) / bound.grid_penalty(1e6)) / math.log(100)
    assert growth == pytest.approx(1 / (2 * p + 2), abs=2e-3)


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
def test_the_worst_range_begins_and_ends_at_its_worst(kind: str) -> None:
    bound = continuous_bound(parse(kind))
    worst, low = bound.worst_within(30.0)
    within = bound.value(np.geomspace(low, 30.0 * low, 501))
    assert within.max() == pytest.approx(worst, rel=1e-6)
    assert within[[0, -1]] == pytest.approx(worst, rel=1e-6)
    shifted = [bound.value([shift * low, 30.0 * shift * low]).max() for shift in (0.9, 1.1)]
    assert min(shifted) > worst


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_bad_arguments_are_refused(bad: float) -> None:
    bound = Bound(label="x", iterate="last", exponent=1.0, a=np.ones(1), b=np.ones(1))
    with pytest.raises(SpecError, match="learning rate"):
        bound.value(bad)
    with pytest.raises(SpecError, match="rho"):
        bound.ratio(bad)
    with pytest.raises(SpecError, match="ratio"):
        bound.grid_penalty(bad)
