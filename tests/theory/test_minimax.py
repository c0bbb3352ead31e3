"""The minimax shape: its own bound, and that no other shape is better."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robustlr.schedules import Tabulated
from robustlr.theory import continuous_bound, designed_schedule, minimax_shape

GOLDEN = (1 + math.sqrt(5)) / 2


@pytest.mark.parametrize("rho", [1.0, 1.5, 1.7, 2.0, 3.0, 3.6, 10.0, 100.0, 1e4])
def test_its_bound_is_what_the_closed_form_says(rho: float) -> None:
    bound = continuous_bound(designed_schedule(rho))
    worst, _ = bound.worst_within(rho)
    assert worst == pytest.approx(minimax_shape(rho).worst, rel=5e-4)


def test_more_knots_bring_the_table_to_the_closed_form() -> None:
    shape = minimax_shape(30.0, knots_per_e_fold=400)
    time = shape.time.copy()
    time[-2] += 1e-9
    table = Tabulated(fractions=tuple(time), multipliers=tuple(shape.multiplier))
    assert continuous_bound(table).worst_within(30.0)[0] == pytest.approx(shape.worst, rel=1e-6)


@pytest.mark.parametrize("border", [GOLDEN, (GOLDEN + 0.5) * (4 * math.sqrt(2) - 4)])
def test_the_regimes_meet(border: float) -> None:
    below, above = minimax_shape(border * (1 - 1e-9)), minimax_shape(border * (1 + 1e-9))
    assert below.worst == pytest.approx(above.worst, rel=1e-8)


@pytest.mark.parametrize("rho", [1.2, 2.5, 10.0, 1000.0])
def test_it_only_falls_from_one_to_zero(rho: float) -> None:
    shape = minimax_shape(rho)
    assert shape.time[0] == 0.0
    assert shape.time[-1] == 1.0
    assert shape.multiplier[0] == 1.0
    assert shape.multiplier[-1] == 0.0
    assert (np.diff(shape.multiplier) < 0).all()
    assert (np.diff(shape.time) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    heights=st.lists(st.floats(-6.0, 0.0), min_size=2, max_size=8),
    falling=st.booleans(),
    log_rho=st.floats(0.0, 7.0),
)
@example(heights=[0.0, -3.0, -3.0], falling=False, log_rho=1 / 256)  # finer than the starts
def test_no_random_shape_is_better(heights: list[float], falling: bool, log_rho: float) -> None:
    if falling:
        heights = sorted(heights, reverse=True)
    multipliers = (*np.exp(heights).tolist(), 0.0)
    fractions = tuple(np.linspace(0.0, 1.0, len(multipliers)).tolist())
    rho = math.exp(log_rho)
    shape = continuous_bound(Tabulated(fractions=fractions, multipliers=multipliers))
    assert shape.worst_within(rho)[0] >= minimax_shape(rho).worst * (1 - 1e-6)


@pytest.mark.parametrize("rho", [1.3, 1.9, 2.7, 10.0, 300.0])
@pytest.mark.parametrize("seed", range(4))
def test_no_shape_nearby_is_better(rho: float, seed: int) -> None:
    best = designed_schedule(rho)
    rng = np.random.default_rng(seed)
    u = np.linspace(0.0, 1.0, 41)
    wave = np.exp(np.interp(u, np.linspace(0, 1, 7), rng.normal(0.0, 0.05, 7)))
    fractions = np.union1d(u, best.fractions)
    values = np.interp(fractions, best.fractions, best.multipliers) * np.interp(fractions, u, wave)
    near = Tabulated(
        fractions=tuple(fractions.tolist()), multipliers=tuple((values / values.max()).tolist())
    )
    least = minimax_shape(rho).worst
    assert continuous_bound(near).worst_within(rho)[0] >= least * (1 - 1e-6)
