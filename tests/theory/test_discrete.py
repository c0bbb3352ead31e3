"""The discrete bound against its formula summed in plain loops, and against its limit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule, CurvatureAdaptive, Fixed, Polynomial, Tabulated, parse
from robustlr.theory import continuous_bound, discrete_bound


def omega(k: int, eta: list[float], g: list[float], diameter: float) -> float:
    """Ω from update k, term by term (Defazio et al. 2023, theorem 10)."""
    T = len(eta)

    def total_from(j: int) -> float:
        return sum(eta[t] for t in range(j, T))

    def squares(j: int) -> float:
        return sum(eta[t] ** 2 * g[t] ** 2 for t in range(j, T))

    result = (diameter**2 + squares(k)) / (2 * total_from(k))
    for j in range(k, T - 1):
        result += eta[j] / total_from(j + 1) / total_from(j) * squares(j) / 2
    return result


@settings(max_examples=25, deadline=None)
@given(
    eta=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12),
    lr=st.floats(0.05, 20.0),
    seed=st.integers(0, 99),
)
def test_every_start_summed_by_hand(eta: list[float], lr: float, seed: int) -> None:
    T = len(eta)
    g = np.random.default_rng(seed).uniform(0.2, 3.0, T)
    table = _Listed(tuple(eta))
    bound = discrete_bound(table, T, gradient_norms=g)
    steps = [lr * m for m in eta]
    expected = min(omega(k, steps, g.tolist(), 2.0) for k in range(T))
    found = float(bound.value(lr, diameter=2.0, num_steps=T))
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "kind",
    ["linear", "polynomial:degree=2", "polynomial:degree=3", "cosine", "wsd", "cosine+warmup"],
)
def test_agrees_with_the_continuous_limit_to_one_percent(kind: str) -> None:
    discrete, limit = discrete_bound(parse(kind), 20_000), continuous_bound(parse(kind))
    rho = np.array([0.1, 0.5, 1.0, 2.0, 4.0, 10.0, 100.0])
    assert discrete.best == pytest.approx(limit.best, rel=0.01)
    assert discrete.best_lr == pytest.approx(limit.best_lr, rel=0.01)
    np.testing.assert_allclose(discrete.ratio(rho), limit.ratio(rho), rtol=0.01)
    assert discrete.grid_penalty(30.0) == pytest.approx(limit.grid_penalty(30.0), rel=0.01)


def test_the_last_iterate_of_fixed_grows_with_the_logarithm_of_the_horizon() -> None:
    squared = [discrete_bound(Fixed(), 10**e).best ** 2 for e in (3, 4, 5)]
    # B*² = Q(0)/H(0) = 1 + Σ 1/n
    growth = np.diff(squared)
    np.testing.assert_allclose(growth, math.log(10), rtol=0.01)


def test_one_norm_for_all_is_the_unit_of_the_gradient() -> None:
    one = discrete_bound(Polynomial(), 100)
    three = discrete_bound(Polynomial(), 100, gradient_norms=np.full(100, 3.0))
    assert float(three.value(0.2)) == pytest.approx(float(one.value(0.2, gradient=3.0)))


def test_growing_norms_weigh_in_by_their_mean_square_under_linear_decay() -> None:
    norms = np.linspace(0.1, 2.0, 20_000)
    bound = discrete_bound(Polynomial(), 20_000, gradient_norms=norms)
    # Q(0) = ∫h²g²/H = 2∫g² and H(0) = 1/2
    assert bound.best**2 == pytest.approx(4 * np.mean(norms**2), rel=0.01)


def test_updates_of_size_zero_change_nothing() -> None:
    stopped = discrete_bound(Tabulated(fractions=(0, 0.5, 1), multipliers=(1, 0, 0)), 200)
    short = discrete_bound(Polynomial(), 100)
    lr = np.array([0.01, 0.3, 5.0])
    np.testing.assert_allclose(
        stopped.value(lr, num_steps=200), short.value(lr, num_steps=100), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("schedule", "num_steps", "norms", "message"),
    [
        (Fixed(), 0, None, "num_steps"),
        (Fixed(), 3, [1.0, 1.0], "shape"),
        (Fixed(), 2, [1.0, -1.0], "positive"),
        (Fixed(), 2, [1.0, math.nan], "positive"),
        (CurvatureAdaptive(), 5, None, "feedback"),
        (Tabulated(fractions=(0, 1), multipliers=(0, 0)), 5, None, "zero"),
    ],
)
def test_bad_arguments_are_refused(
    schedule: AnySchedule, num_steps: int, norms: list[float] | None, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        discrete_bound(schedule, num_steps, gradient_norms=norms)


class _Listed(Polynomial):
    """Multipliers looked up by whole steps, as a user's own schedule may do."""

    __slots__ = ("values",)

    def __init__(self, values: tuple[float, ...]) -> None:
        object.__setattr__(self, "values", np.array(values))
        super().__init__()

    def multiplier(self, step: object, num_steps: int) -> np.ndarray:
        index = np.clip(np.asarray(step).astype(int), 0, len(self.values) - 1)
        return np.asarray(self.values[index])
