"""Closed forms, one number at a time with the math module."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.schedules import (
    WSD,
    Cosine,
    Fixed,
    InverseSqrt,
    Polynomial,
    Schedule,
    Tabulated,
    Warmup,
    parse,
)

fractions = st.floats(0.0, 1.0)
positive = st.floats(1e-3, 20.0)


def slow(schedule: Schedule, t: int, T: int) -> float:
    """The formula of the docstring, for one step."""
    u = t / T
    match schedule:
        case Fixed():
            return 1.0
        case Cosine(final_multiplier=f):
            return f + (1 - f) * (1 + math.cos(math.pi * u)) / 2
        case Polynomial(degree=p):
            return (1 - u) ** p
        case WSD(decay_fraction=d, cooldown=cooldown):
            if u <= 1 - d:
                return 1.0
            left = (1 - u) / d
            return left if cooldown == "linear" else 1 - math.sqrt(1 - left)
        case InverseSqrt(timescale=k):
            return 1 / math.sqrt(1 + t / k)
        case Tabulated(fractions=xs, multipliers=ms):
            for i in range(len(xs) - 1):
                if u <= xs[i + 1]:
                    share = (u - xs[i]) / (xs[i + 1] - xs[i])
                    return ms[i] + share * (ms[i + 1] - ms[i])
            return ms[-1]
        case Warmup(warmup_fraction=w, then=Schedule() as then):
            W = min(math.ceil(round(w * T, 9)), T - 1)
            return (t + 1) / (W + 1) if t < W else slow(then, t - W, T - W)
    raise AssertionError(schedule)


@st.composite
def tables(draw: st.DrawFn) -> Tabulated:
    inner = draw(st.lists(st.integers(1, 99), unique=True, max_size=5).map(sorted))
    xs = (0.0, *(x / 100 for x in inner), 1.0)
    ms = draw(st.lists(fractions, min_size=len(xs), max_size=len(xs)))
    return Tabulated(fractions=xs, multipliers=tuple(ms))


shapes = st.one_of(
    st.just(Fixed()),
    st.builds(Cosine, final_multiplier=fractions),
    st.builds(Polynomial, degree=positive),
    st.builds(
        WSD, decay_fraction=st.floats(0.01, 1.0), cooldown=st.sampled_from(["linear", "sqrt"])
    ),
    st.builds(InverseSqrt, timescale=positive),
    tables(),
)
with_warmup = st.one_of(
    shapes,
    st.builds(Warmup, warmup_fraction=st.integers(0, 99).map(lambda k: k / 100), then=shapes),
)


@settings(deadline=None, max_examples=200)
@given(with_warmup, st.integers(1, 300), st.data())
def test_every_shape_equals_its_formula(schedule: Schedule, T: int, data: st.DataObject) -> None:
    t = data.draw(st.integers(0, T))
    # √ and a power below 1 turn a rounding error at the very end into its root
    assert float(schedule.multiplier(t, T)) == pytest.approx(slow(schedule, t, T), abs=2e-3)
    assert 0.0 <= float(schedule.multiplier(t, T)) <= 1.0


@settings(deadline=None, max_examples=100)
@given(with_warmup)
def test_labels_are_exact(schedule: Schedule) -> None:
    inner = schedule.then if isinstance(schedule, Warmup) else schedule
    if not isinstance(inner, Tabulated):
        assert parse(schedule.label) == schedule


@pytest.mark.parametrize(
    ("schedule", "at_half", "at_three_quarters"),
    [
        (Fixed(), 1.0, 1.0),
        (Cosine(), 0.5, (1 - math.sqrt(0.5)) / 2),
        (Cosine(final_multiplier=0.2), 0.6, 0.2 + 0.4 * (1 - math.sqrt(0.5))),
        (Polynomial(), 0.5, 0.25),
        (Polynomial(degree=2), 0.25, 0.0625),
        (Polynomial(degree=0.5), math.sqrt(0.5), 0.5),
        (WSD(decay_fraction=0.5), 1.0, 0.5),
        (WSD(decay_fraction=0.5, cooldown="sqrt"), 1.0, 1 - math.sqrt(0.5)),
        (InverseSqrt(timescale=100), 1 / math.sqrt(1.5), 1 / math.sqrt(1.75)),
        (Tabulated(fractions=(0, 0.5, 1), multipliers=(0, 1, 0)), 1.0, 0.5),
    ],
    ids=lambda value: value.label if isinstance(value, Schedule) else "",
)
def test_values_worked_out_by_hand(
    schedule: Schedule, at_half: float, at_three_quarters: float
) -> None:
    assert schedule.multiplier([50, 75], 100) == pytest.approx([at_half, at_three_quarters])


def test_decays_never_rise() -> None:
    for text in ("cosine", "linear", "polynomial:degree=3", "wsd", "inverse_sqrt"):
        schedule = parse(text)
        assert isinstance(schedule, Schedule)
        assert (np.diff(schedule.multiplier(np.arange(201), 200)) <= 0.0).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "cosine", "final_multiplier": -0.1}, "final_multiplier must be in [0, 1]"),
        ({"kind": "cosine", "final_multiplier": math.nan}, "must be in [0, 1], got nan"),
        ({"kind": "polynomial", "degree": 0}, "degree must be a positive number, got 0.0"),
        ({"kind": "polynomial", "degree": math.inf}, "got inf"),
        ({"kind": "wsd", "decay_fraction": 0}, "decay_fraction must be in (0, 1], got 0.0"),
        ({"kind": "wsd", "cooldown": "quick"}, "cooldown: input should be 'linear' or 'sqrt'"),
        ({"kind": "inverse_sqrt", "timescale": -1}, "timescale must be a positive number"),
        ({"kind": "tabulated", "fractions": [0, 1], "multipliers": [1]}, "got 2 and 1"),
        ({"kind": "tabulated", "fractions": [0], "multipliers": [1]}, "at least 2"),
        ({"kind": "tabulated", "fractions": [0, 0.5], "multipliers": [1, 1]}, "from 0 to 1"),
        (
            {"kind": "tabulated", "fractions": [0, 0.5, 0.5, 1], "multipliers": [1, 1, 1, 1]},
            "must increase strictly",
        ),
        ({"kind": "tabulated", "fractions": [0, 1], "multipliers": [2, 0]}, "be in [0, 1]"),
        ({"kind": "tabulated", "fractions": [0, 1], "multipliers": [math.nan, 0]}, "in [0, 1]"),
        ({"kind": "warmup", "warmup_fraction": 1.0}, "must be in [0, 1), got 1.0"),
        ({"kind": "warmup", "then": "cosine+warmup"}, "a warmup cannot wrap another warmup"),
        ({"kind": "warmup", "then": "auto_warmup"}, "auto_warmup warms up by itself: leave out"),
        ({"kind": "warmup", "then": {"kind": "wsd", "decay": 1}}, "then.decay: unknown key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_out_of_range(table: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(table)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"schedule '{table['kind']}': ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, "{} must be a list of numbers, got 0.5"),
        ("01", "{} must be a list of numbers, got '01'"),
        (None, "{} must be a list of numbers, got None"),
        ((0, "1"), "every one of {} must be a number, got '1'"),
        ((0, None, 1), "every one of {} must be a number, got None"),
        ((False, True), "every one of {} must be a number, got False"),
    ],
)
@pytest.mark.parametrize("name", ["fractions", "multipliers"])
def test_a_table_of_what_are_no_numbers(name: str, value: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Tabulated(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == message.format(name)
