"""The warmup's own arithmetic, and how it delays a schedule with feedback."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robustlr.errors import SpecError
from robustlr.schedules import Cosine, CurvatureAdaptive, Feedback, Fixed, Warmup, parse
from tests.schedules.own import Plateau


@pytest.mark.parametrize(
    ("fraction", "num_steps", "expected"),
    [
        (0.1, 100, 10),
        (0.07, 100, 7),  # 0.07 * 100 is 7.000000000000001
        (0.1, 3, 1),
        (0.29, 100, 29),
        (0.071, 100, 8),
        (0.0, 50, 0),
        (0.1, 1, 0),
        (0.99, 2, 1),
        (0.999, 10, 9),
    ],
)
def test_the_share_of_the_horizon_in_updates(
    fraction: float, num_steps: int, expected: int
) -> None:
    assert Warmup(warmup_fraction=fraction).warmup_steps(num_steps) == expected


@pytest.mark.parametrize("num_steps", [10, 100, 1000, 12345])
def test_whole_percents_of_round_horizons_are_exact(num_steps: int) -> None:
    for percent in range(100):
        steps = Warmup(warmup_fraction=percent / 100).warmup_steps(num_steps)
        assert steps == min(-(-percent * num_steps // 100), num_steps - 1)


def test_it_climbs_in_equal_steps_to_the_first_of_the_wrapped() -> None:
    multipliers = Warmup(warmup_fraction=0.25, then=Fixed()).multiplier(np.arange(20), 20)
    assert np.diff(multipliers[:6]) == pytest.approx([1 / 6] * 5)
    assert (multipliers[5:] == 1.0).all()
    assert multipliers[0] > 0.0  # no update is wasted


def test_the_wrapped_shape_has_the_rest_of_the_horizon() -> None:
    warmed = Warmup(warmup_fraction=0.2).multiplier(np.arange(20, 101), 100)
    assert warmed.tolist() == Cosine().multiplier(np.arange(81), 80).tolist()


def test_feedback_reaches_the_wrapped_schedule_from_its_own_step_0() -> None:
    lifted = Warmup(warmup_fraction=0.5, then=Plateau()).lifted()
    state = lifted.init(8)
    multipliers = []
    for step, loss in enumerate([9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 2.0, 0.5]):
        state = lifted.update(state, Feedback(step, loss))
        multipliers.append(lifted.multiplier(state))
    assert multipliers == [0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.25, 0.25]


def test_no_estimate_is_paid_for_during_the_warmup() -> None:
    schedule = Warmup(warmup_fraction=0.3, then=CurvatureAdaptive(every=5))
    lifted = schedule.lifted()
    state = lifted.init(20)
    wanted = []
    for step in range(20):
        if lifted.wants_curvature(state, step):
            wanted.append(step)
        state = lifted.update(state, Feedback(step, 1.0))
    assert wanted == [6, 11, 16]


def test_a_shape_that_needs_feedback_cannot_be_drawn() -> None:
    with pytest.raises(SpecError, match=r"'?curvature_adaptive\+warmup'? needs feedback"):
        Warmup(then=CurvatureAdaptive()).multiplier(0, 10)


def test_what_is_wrapped_may_be_spelt_as_in_a_table() -> None:
    written: Any = "curvature_adaptive:anneal=cosine"
    assert Warmup(then=written) == Warmup(then=CurvatureAdaptive(anneal=Cosine()))
    for bad, message in (({"then": "cosin"}, "did you mean"), ({"then": None}, "got None")):
        with pytest.raises(SpecError, match=message):
            Warmup(**bad)
    with pytest.raises(SpecError, match="warmup_fraction must be a number, got 'half'"):
        Warmup(warmup_fraction="half")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["cosine+warmup", "cosine+warmup=0.05", "wsd:cooldown=sqrt+warmup"]
)
def test_the_shorthand(text: str) -> None:
    schedule = parse(text)
    assert isinstance(schedule, Warmup)
    assert schedule.label == text
