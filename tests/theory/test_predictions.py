"""Predictions for whatever a study may hold."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules import CurvatureAdaptive, Schedule, Warmup, parse, schedule_types
from robustlr.schedules.base import FloatArray
from robustlr.theory import continuous_bound, predicted


@dataclass(frozen=True)
class QuarterCircle(Schedule):
    """A user's own shape: √(1 − u²), which ends like s^(1/2)."""

    kind: Literal["quarter_circle"] = "quarter_circle"

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        u = np.asarray(step, dtype=np.float64) / num_steps
        return np.asarray(np.sqrt(np.maximum(1.0 - u**2, 0.0)))


@dataclass(frozen=True)
class Negative(Schedule):
    kind: Literal["negative"] = "negative"

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        return -np.ones_like(np.asarray(step, dtype=np.float64))


@pytest.mark.parametrize("num_steps", [None, 500])
def test_every_registered_schedule_has_a_prediction_or_none(num_steps: int | None) -> None:
    covered = {
        kind: bound
        for kind, cls in schedule_types().items()
        if (bound := predicted(cls(), num_steps=num_steps)) is not None
    }
    assert {"fixed", "cosine", "polynomial", "wsd", "inverse_sqrt", "tabulated", "warmup"} <= set(
        covered
    )
    for bound in covered.values():
        assert bound.ratio(1.0) == 1.0
        assert np.isfinite(bound.ratio([0.01, 3.0, 1000.0])).all()
        assert 0 < bound.exponent <= 1.0


def test_feedback_has_no_prediction_even_behind_a_warmup() -> None:
    assert predicted(CurvatureAdaptive()) is None
    assert predicted(Warmup(then=CurvatureAdaptive())) is None
    with pytest.raises(SpecError, match="feedback"):
        continuous_bound(Warmup(then=CurvatureAdaptive()))


def test_a_users_own_schedule() -> None:
    bound = predicted(QuarterCircle())
    assert bound is not None
    assert bound.exponent == pytest.approx(1 / 2, abs=1e-5)
    at_horizon = predicted(QuarterCircle(), num_steps=50_000)
    assert at_horizon is not None
    np.testing.assert_allclose(at_horizon.ratio([2, 10]), bound.ratio([2, 10]), rtol=0.01)


def test_a_users_mistake_names_the_schedule() -> None:
    with pytest.raises(SpecError, match=r"schedule 'negative'.*at least 0"):
        predicted(Negative())


def test_a_long_warmup_shifts_the_optimum_and_keeps_the_exponent() -> None:
    plain, warmed = predicted("linear"), predicted("linear+warmup=0.5")
    assert plain is not None
    assert warmed is not None
    assert warmed.exponent == pytest.approx(plain.exponent, abs=1e-6)
    assert warmed.best > plain.best


def test_shorthand_and_object_are_the_same() -> None:
    rho = np.geomspace(0.1, 100, 7)
    by_name, by_object = predicted("polynomial:degree=2"), predicted(parse("polynomial:degree=2"))
    assert by_name is not None
    assert by_object is not None
    np.testing.assert_array_equal(by_name.ratio(rho), by_object.ratio(rho))
