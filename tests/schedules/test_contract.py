"""What every schedule owes the rest of robustlr, whoever wrote it.

A registered kind joins by itself: as it is by default, and behind a warmup unless it is one.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from robustlr.errors import SpecError
from robustlr.schedules import (
    WSD,
    AnySchedule,
    Cosine,
    CurvatureAdaptive,
    Feedback,
    FeedbackSchedule,
    Fixed,
    InverseSqrt,
    Polynomial,
    Schedule,
    Tabulated,
    Warmup,
    parse,
    schedule_types,
    to_table,
)
from robustlr.validation import parse_table
from tests.schedules.own import Plateau, Triangle, entry_point, install, uninstall

HORIZONS = (1, 2, 3, 10, 97, 400)
ROUNDING = 1e-15  # numpy's power of an array and of a number differ in the last digit

# kinds that cannot be made without arguments
EXAMPLES: dict[str, AnySchedule] = {}

VARIANTS: list[AnySchedule] = [
    Cosine(final_multiplier=0.1),
    Polynomial(degree=2),
    Polynomial(degree=1 / 3),
    WSD(decay_fraction=1.0),
    WSD(decay_fraction=0.3, cooldown="sqrt"),
    InverseSqrt(timescale=25),
    Tabulated(fractions=(0, 0.25, 1), multipliers=(0.5, 1, 0), name="hump"),
    Warmup(warmup_fraction=0.0),
    Warmup(warmup_fraction=0.07, then=Polynomial(degree=2)),
    Warmup(warmup_fraction=0.99, then=Tabulated()),
    CurvatureAdaptive(every=3, scale="raw", anneal=WSD(decay_fraction=0.5, cooldown="sqrt")),
    Warmup(then=CurvatureAdaptive(anneal=Warmup(warmup_fraction=0.2, then=Cosine()))),
    Triangle(),
    Triangle(peak=0.1),
    Plateau(),
    Warmup(then=Plateau(shrink=0.1)),
]


def all_schedules() -> list[AnySchedule]:
    defaults = [EXAMPLES.get(kind) or cls() for kind, cls in schedule_types().items()]
    behind = [Warmup(then=each) for each in defaults if "warmup" not in each.kind]
    return [*defaults, *behind, *VARIANTS]


def is_pure(schedule: AnySchedule) -> bool:
    inner = schedule.then if isinstance(schedule, Warmup) else schedule
    return isinstance(inner, Schedule)


ALL = all_schedules()
PURE = [schedule for schedule in ALL if is_pure(schedule)]
every_schedule = pytest.mark.parametrize("schedule", ALL, ids=lambda each: each.label)
every_pure_schedule = pytest.mark.parametrize("schedule", PURE, ids=lambda each: each.label)


@pytest.fixture(autouse=True)
def third_party(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(monkeypatch, entry_point("triangle", "Triangle"), entry_point("plateau", "Plateau"))
    yield
    uninstall(monkeypatch)


def fed(schedule: AnySchedule, num_steps: int) -> Iterator[tuple[Feedback, Any, float]]:
    """A run seen by the schedule: (feedback, state after it, multiplier) of every update."""
    lifted = schedule.lifted()
    state = lifted.init(num_steps)
    for step in range(num_steps):
        feedback = feedback_at(lifted, state, step)
        state = lifted.update(state, feedback)
        yield feedback, state, lifted.multiplier(state)


def feedback_at(lifted: FeedbackSchedule[Any], state: Any, step: int) -> Feedback:
    """A loss that falls, then explodes, with noise; a trace that is negative at first."""
    noise = 0.05 * math.sin(37.0 * step)
    loss = 2.3 * math.exp(-step / 20) + noise + (0.01 * (step - 60)) ** 2 * (step > 60)
    if not lifted.wants_curvature(state, step):
        return Feedback(step, loss)
    trace = math.nan if step % 50 == 49 else 3.0 * step - 20.0
    return Feedback(step, loss, trace, (trace - 9.0, 2.0 * abs(trace)))


@every_pure_schedule
@pytest.mark.parametrize("num_steps", HORIZONS)
def test_multipliers_are_finite_and_in_range(schedule: Schedule, num_steps: int) -> None:
    multipliers = schedule.multiplier(np.arange(num_steps + 1), num_steps)
    assert np.isfinite(multipliers).all()
    assert ((multipliers >= 0.0) & (multipliers <= 1.0)).all()


@every_pure_schedule
def test_steps_broadcast(schedule: Schedule) -> None:
    flat = schedule.multiplier(np.arange(12), 12)
    square = schedule.multiplier(np.arange(12).reshape(3, 4), 12)
    assert flat.dtype == np.float64
    assert square.shape == (3, 4)
    assert square.ravel() == pytest.approx(flat, rel=ROUNDING)
    assert schedule.multiplier(list(range(12)), 12) == pytest.approx(flat, rel=ROUNDING)
    scalar = schedule.multiplier(5, 12)
    assert np.shape(scalar) == ()
    assert float(scalar) == pytest.approx(flat[5], rel=ROUNDING)


@every_pure_schedule
@pytest.mark.parametrize("num_steps", HORIZONS)
def test_annealed_shapes_end_at_exactly_zero(schedule: Schedule, num_steps: int) -> None:
    inner = schedule.then if isinstance(schedule, Warmup) else schedule
    last = float(schedule.multiplier(num_steps, num_steps))
    match inner:
        case Fixed():
            assert last == 1.0
        case InverseSqrt():
            assert last > 0.0
        case Cosine(final_multiplier=floor):
            assert last == pytest.approx(floor, abs=0.0)
        case _:
            assert last == 0.0


@every_pure_schedule
@pytest.mark.parametrize("num_steps", HORIZONS)
def test_lifted_equals_pure_at_every_step(schedule: Schedule, num_steps: int) -> None:
    seen = [multiplier for _, _, multiplier in fed(schedule, num_steps)]
    whole = schedule.multiplier(np.arange(num_steps), num_steps)
    assert seen == pytest.approx(whole.tolist(), rel=ROUNDING)


@every_schedule
@pytest.mark.parametrize("num_steps", HORIZONS)
def test_a_run_stays_in_range(schedule: AnySchedule, num_steps: int) -> None:
    for _, _, multiplier in fed(schedule, num_steps):
        assert isinstance(multiplier, float)
        assert 0.0 <= multiplier <= 1.0


@every_schedule
def test_state_survives_json_in_every_phase(schedule: AnySchedule) -> None:
    lifted = schedule.lifted()
    states = [lifted.init(90), *(state for _, state, _ in fed(schedule, 90))]
    for state in states:
        copy = lifted.load(json.loads(json.dumps(lifted.dump(state))))
        assert repr(copy) == repr(state)  # NaN is itself
        assert lifted.multiplier(copy) == lifted.multiplier(state)


@every_schedule
@pytest.mark.parametrize("stop", [0, 1, 8, 9, 30, 75])
def test_a_run_resumed_from_json_goes_on_as_if_nothing_had_been(
    schedule: AnySchedule, stop: int
) -> None:
    lifted, run = schedule.lifted(), list(fed(schedule, 90))
    state = lifted.init(90) if stop == 0 else run[stop - 1][1]
    state = lifted.load(json.loads(json.dumps(lifted.dump(state))))
    for step in range(stop, 90):
        state = lifted.update(state, feedback_at(lifted, state, step))
        assert lifted.multiplier(state) == run[step][2]


@every_schedule
def test_state_is_threaded_and_never_changed(schedule: AnySchedule) -> None:
    lifted = schedule.lifted()
    state = lifted.init(20)
    before = repr(state)
    first = lifted.update(state, feedback_at(lifted, state, 0))
    again = lifted.update(state, feedback_at(lifted, state, 0))
    assert repr(state) == before
    assert repr(first) == repr(again)
    assert type(state).__dataclass_params__.frozen


@every_schedule
def test_telemetry_and_outcome_are_plain_numbers(schedule: AnySchedule) -> None:
    lifted = schedule.lifted()
    names = set()
    for _, state, _ in fed(schedule, 90):
        telemetry = lifted.telemetry(state)
        names.add(tuple(telemetry))
        assert all(isinstance(value, float) for value in telemetry.values())
    assert len(names) == 1  # the same columns all along
    outcome = dict(lifted.outcome(state))
    assert json.loads(json.dumps(outcome)) == outcome


@every_schedule
def test_the_table_makes_it_again(schedule: AnySchedule) -> None:
    table = to_table(schedule)
    assert parse(table) == schedule
    assert parse(json.loads(json.dumps(table))) == schedule
    assert set(table) == {field.name for field in dataclasses.fields(schedule)}  # type: ignore[arg-type]


@every_schedule
def test_the_label_makes_it_again(schedule: AnySchedule) -> None:
    inner = schedule.then if isinstance(schedule, Warmup) else schedule
    if isinstance(inner, Tabulated):
        pytest.skip("a table's label is its name")
    assert parse(schedule.label) == schedule


def test_labels_tell_all_of_them_apart() -> None:
    distinct = {schedule.label: schedule for schedule in ALL}
    for schedule in ALL:
        assert distinct[schedule.label] == schedule


@every_schedule
def test_an_unknown_key_is_refused_with_the_nearest_name(schedule: AnySchedule) -> None:
    name = dataclasses.fields(schedule)[-1].name  # type: ignore[arg-type]
    table = {**to_table(schedule), f"{name}x": 1}
    with pytest.raises(SpecError) as caught:
        parse(table)
    assert str(caught.value) == (
        f"schedule '{schedule.kind}': {name}x: unknown key; {caught.value.args[0].split('; ')[1]}"
    )
    assert f"'{name}'" in str(caught.value)


@every_schedule
def test_it_is_what_it_was_when_nested_in_a_spec(schedule: AnySchedule) -> None:
    @dataclasses.dataclass(frozen=True)
    class Spec:
        schedule: AnySchedule

    parsed = parse_table(Spec, {"schedule": to_table(schedule)})
    assert parsed.schedule == schedule


@every_schedule
def test_only_what_needs_feedback_is_lifted_to_itself(schedule: AnySchedule) -> None:
    lifted = schedule.lifted()
    assert isinstance(lifted, FeedbackSchedule)
    assert lifted.label == schedule.label
    assert lifted.curvature_request == schedule.curvature_request
    assert lifted.lifted() is lifted
