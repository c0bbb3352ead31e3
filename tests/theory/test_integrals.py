"""H and Q against closed forms and adaptive quadrature."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from robustlr.errors import SpecError
from robustlr.schedules import WSD, Cosine, Fixed, InverseSqrt, Polynomial, Tabulated, Warmup
from robustlr.theory import HORIZON, integrate, shape_integrals

TAU = np.array([0.0, 0.1, 0.5, 0.9, 0.999, 1.0 - 2.0**-20])


@settings(max_examples=40, deadline=None)
@given(st.floats(0.03, 15.0))
def test_polynomials_of_any_degree_match_their_closed_form(p: float) -> None:
    found = shape_integrals(Polynomial(degree=p))
    s = 1.0 - TAU
    np.testing.assert_allclose(found.H(TAU), s ** (p + 1) / (p + 1), rtol=1e-7)
    np.testing.assert_allclose(found.Q(TAU), (p + 1) / p * s**p, rtol=1e-7)
    assert found.order == pytest.approx(p, abs=1e-6)
    assert found.annealed


@pytest.mark.parametrize("d", [1e-3, 0.2, 1.0])
def test_wsd_matches_its_closed_form(d: float) -> None:
    found = shape_integrals(WSD(decay_fraction=d))
    s = 1.0 - TAU
    H = np.where(s <= d, s**2 / (2 * d), d / 2 + s - d)
    Q = np.where(s <= d, 2 * s / d, 2 + np.log(np.maximum(2 * H / d, 1.0)))
    np.testing.assert_allclose(found.H(TAU), H, rtol=1e-8)
    np.testing.assert_allclose(found.Q(TAU), Q, rtol=1e-8)


@pytest.mark.parametrize("schedule", [Cosine(), WSD(cooldown="sqrt")], ids=lambda s: s.label)
@pytest.mark.parametrize("tau", [0.0, 0.3, 0.9])
def test_smooth_shapes_match_adaptive_quadrature(schedule: Cosine | WSD, tau: float) -> None:
    def h(u: float) -> float:
        return float(schedule.multiplier(u, 1))

    def tail(u: float) -> float:
        return quad(h, u, 1.0, points=[0.8] if u < 0.8 else None, epsabs=0, epsrel=1e-10)[0]

    found = shape_integrals(schedule)
    # a cosine's own rounding hides its last 1e-4 of the horizon from a plain quadrature
    Q = quad(lambda u: h(u) ** 2 / tail(u), tau, 0.999, epsrel=1e-7, limit=200)[0]
    assert float(found.H(tau)) == pytest.approx(tail(tau), rel=1e-8)
    assert float(found.Q(tau) - found.Q(0.999)) == pytest.approx(Q, rel=1e-6)


def test_cosine_behaves_like_degree_two_at_its_end() -> None:
    found = shape_integrals(Cosine())
    s = 1e-5
    assert found.order == pytest.approx(2.0, abs=1e-6)
    assert float(found.H(1 - s)) == pytest.approx(math.pi**2 / 12 * s**3, rel=1e-4)
    assert float(found.Q(1 - s)) == pytest.approx(1.5 * math.pi**2 / 4 * s**2, rel=1e-4)


def test_a_jump_costs_no_accuracy() -> None:
    found = integrate(lambda u: np.where(u < 0.37, 1.0, 0.1 * (1 - u)))
    H = 0.37 + 0.1 * 0.63**2 / 2
    end = 0.63**2 / 20
    assert float(found.H(0.0)) == pytest.approx(H, rel=1e-8)
    assert float(found.Q(0.0)) == pytest.approx(0.1 * 2 * 0.63 + math.log(H / end), rel=1e-8)


def test_a_warmup_adds_its_ramp() -> None:
    found = shape_integrals(Warmup(warmup_fraction=0.1, then=Polynomial()))
    w = math.ceil(0.1 * HORIZON) / HORIZON
    assert float(found.H(w)) == pytest.approx((1 - w) / 2, rel=1e-8)
    assert float(found.H(0.0)) == pytest.approx((1 - w) / 2 + w / 2, rel=1e-5)
    assert float(found.Q(w)) == pytest.approx(2.0, rel=1e-8)


def test_time_after_the_last_positive_multiplier_changes_nothing() -> None:
    whole = shape_integrals(Polynomial())
    early = shape_integrals(Tabulated(fractions=(0, 0.6, 1), multipliers=(1, 0, 0)))
    tau = np.array([0.0, 0.3, 0.59])
    np.testing.assert_allclose(early.H(tau), 0.6 * whole.H(tau / 0.6), rtol=1e-6)
    np.testing.assert_allclose(early.Q(tau), whole.Q(tau / 0.6), rtol=1e-6)
    assert early.H(0.8) == early.Q(0.8) == 0.0
    assert early.end == pytest.approx(0.6)


@pytest.mark.parametrize(
    "schedule", [Fixed(), InverseSqrt(), Cosine(final_multiplier=0.01)], ids=lambda s: s.label
)
def test_a_shape_that_ends_above_zero_has_no_finite_q(schedule: Fixed) -> None:
    found = shape_integrals(schedule)
    assert not found.annealed
    assert np.isinf(found.Q(TAU)).all()


def test_inverse_sqrt_depends_on_the_horizon_as_its_integral_says() -> None:
    found = shape_integrals(InverseSqrt(), num_steps=10_000)
    # ∫(1 + uT)^(−1/2) du and ∫(1 + uT)^(−1) du
    assert float(found.H(0.0)) == pytest.approx(2 * (math.sqrt(10_001) - 1) / 10_000, rel=1e-8)
    assert found.square == pytest.approx(math.log(10_001) / 10_000, rel=1e-8)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (lambda u: u - 0.5, "at least 0"),
        (lambda u: np.where(u > 0.7, np.nan, 1.0), "finite"),
        (lambda u: 0.0 * u, "zero over the whole"),
        (lambda u: np.ones(3), "keep the shape"),
    ],
)
def test_what_is_no_shape_is_said(shape: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        integrate(shape)  # type: ignore[arg-type]
