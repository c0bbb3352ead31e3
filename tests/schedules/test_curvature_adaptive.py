"""η_t = η_0/√(1 + λ·tr(H_t)) against a slow restatement of its rules."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.schedules import WSD, CurvatureAdaptive, Feedback, parse
from robustlr.schedules.base import FeedbackSchedule
from robustlr.schedules.curvature_adaptive import ESTIMATORS, curvature_multiplier

Traces = Sequence[float | None]


def see(
    schedule: FeedbackSchedule[Any], traces: Traces, extremes: Traces = (), num_steps: int = 100
) -> Any:
    """The state after one feedback per trace; None is an update without an estimate."""
    state = schedule.init(num_steps)
    for step, trace in enumerate(traces):
        ends = extremes[step] if extremes else None
        state = schedule.update(state, Feedback(step, 1.0, trace, ends))  # type: ignore[arg-type]
    return state


def average(values: Sequence[float], smoothing: float) -> float:
    """The exponentially weighted mean, weights written out."""
    weights = [smoothing ** (len(values) - 1 - k) for k in range(len(values))]
    return math.fsum(w * x for w, x in zip(weights, values, strict=True)) / math.fsum(weights)


def slow_multiplier(schedule: CurvatureAdaptive, traces: Sequence[float]) -> float:
    reference = None
    for k in range(1, len(traces) + 1):
        signed = average(traces[:k], schedule.smoothing)
        magnitude = average([abs(x) for x in traces[:k]], schedule.smoothing)
        enough = 1 - schedule.smoothing**k >= 0.5
        if reference is None and enough and signed > 0 and signed >= magnitude / 2:
            reference = magnitude
    unit = 1.0 if schedule.scale == "raw" else reference or magnitude or 1.0
    value = 1 / math.sqrt(1 + schedule.strength * max(0.0, signed) / unit)
    return min(max(value, schedule.min_multiplier), schedule.max_multiplier)


@settings(max_examples=200, deadline=None)
@given(
    # subnormal numbers lose the digits that the comparison needs
    traces=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=12),
    strength=st.floats(0.0, 100.0),
    smoothing=st.sampled_from([0.0, 0.5, 0.9]),
    scale=st.sampled_from(["raw", "relative"]),
    bounds=st.sampled_from([(0.0, 1.0), (0.1, 0.5)]),
)
@example(traces=[5e-324, 1.0], strength=0.0, smoothing=0.0, scale="relative", bounds=(0.0, 1.0))
@example(traces=[5e-324, 1.0], strength=5e-324, smoothing=0.0, scale="relative", bounds=(0.0, 1.0))
def test_it_follows_its_rules(
    traces: list[float],
    strength: float,
    smoothing: float,
    scale: Any,
    bounds: tuple[float, float],
) -> None:
    schedule = CurvatureAdaptive(
        strength=strength,
        smoothing=smoothing,
        scale=scale,
        min_multiplier=bounds[0],
        max_multiplier=bounds[1],
    )
    m = schedule.multiplier(see(schedule, traces))
    assert bounds[0] <= m <= bounds[1]
    smoothed = average(traces, smoothing)
    magnitude = average([abs(x) for x in traces], smoothing)
    if abs(abs(smoothed) - magnitude / 2) > 1e-9 * magnitude:  # else rounding decides "usable"
        assert m == pytest.approx(slow_multiplier(schedule, traces), rel=1e-6)


def test_the_papers_formula_raw_and_alone() -> None:
    schedule = CurvatureAdaptive(scale="raw", strength=0.5, smoothing=0.0)
    for trace, expected in ((0.0, 1.0), (6.0, 0.5), (16.0, 1 / 3), (-150.0, 1.0)):
        assert schedule.multiplier(see(schedule, [trace])) == pytest.approx(expected)


def test_a_negative_estimate_takes_part_in_the_average_before_it_is_clamped() -> None:
    schedule = CurvatureAdaptive(scale="raw", smoothing=0.5)
    both = see(schedule, [-8.0, 7.0])  # (−8/2 + 7)/(1 + 1/2) = 2, not 14/3
    assert schedule.multiplier(both) == pytest.approx(1 / math.sqrt(3.0))
    assert schedule.telemetry(both)["curvature_smoothed"] == pytest.approx(2.0)
    assert schedule.telemetry(both)["curvature_clamped"] == 0.0
    negative = see(schedule, [-8.0])
    assert schedule.multiplier(negative) == 1.0
    assert schedule.telemetry(negative)["curvature_clamped"] == 1.0
    assert schedule.outcome(both)["curvature_clamped_share"] == 0.5


def test_the_relative_scale_forgets_units() -> None:
    schedule = CurvatureAdaptive(smoothing=0.5)
    traces = [1.0, 3.0, 2.0, 8.0, 5.0]
    ours = schedule.multiplier(see(schedule, traces))
    theirs = schedule.multiplier(see(schedule, [1e6 * x for x in traces]))
    assert ours == pytest.approx(theirs)


def test_the_reference_waits_for_half_an_average_and_for_a_sign() -> None:
    schedule = CurvatureAdaptive(smoothing=0.9)  # 1 − 0.9^k ≥ 1/2 from k = 7
    assert see(schedule, [5.0] * 6).seen.reference is None
    assert see(schedule, [5.0] * 7).seen.reference == pytest.approx(5.0)
    assert see(schedule, [5.0, -5.0] * 5).seen.reference is None
    fixed = see(schedule, [5.0] * 7 + [500.0] * 3)
    assert fixed.seen.reference == pytest.approx(5.0)
    assert CurvatureAdaptive(smoothing=0.0).update(
        CurvatureAdaptive(smoothing=0.0).init(9), Feedback(0, 1.0, 3.0)
    ).seen.reference == pytest.approx(3.0)


def test_the_multiplier_does_not_jump_when_the_reference_is_fixed() -> None:
    schedule = CurvatureAdaptive(strength=3.0)
    for estimates in range(1, 10):
        assert schedule.multiplier(see(schedule, [5.0] * estimates)) == pytest.approx(0.5)


def test_before_any_estimate_the_trace_is_taken_for_the_reference() -> None:
    relative = CurvatureAdaptive(strength=3.0)
    assert relative.multiplier(relative.init(10)) == 0.5
    raw = CurvatureAdaptive(scale="raw", strength=3.0)
    assert raw.multiplier(raw.init(10)) == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_estimate_that_is_not_finite_is_skipped_counted_and_changes_nothing(bad: float) -> None:
    schedule = CurvatureAdaptive(max_skipped=3)
    good = see(schedule, [2.0, 4.0])
    with_bad = see(schedule, [2.0, bad, bad, 4.0])
    assert schedule.multiplier(with_bad) == schedule.multiplier(good)
    assert with_bad.seen.skipped == 2
    assert with_bad.seen.skipped_in_a_row == 0
    for in_a_row, failed in ((2, 0.0), (3, 1.0)):
        state = see(schedule, [2.0] + [bad] * in_a_row)
        assert schedule.telemetry(state)["curvature_failed"] == failed
        assert schedule.telemetry(state)["curvature_trace"] == 2.0
        assert schedule.outcome(state)["curvature_skipped"] == in_a_row


def test_the_eigenvalue_bounds_are_the_papers() -> None:
    schedule = CurvatureAdaptive(scale="raw", smoothing=0.5, bounds="eigenvalue")
    # Smoothed trace 4.33 after a jump; the last estimate's own extremes allow 5 to 8.
    state = see(schedule, [1.0, 6.0], [(0.0, 3.0), (5.0, 8.0)])
    assert schedule.multiplier(state) == pytest.approx(1 / math.sqrt(6.0))
    inside = see(schedule, [1.0, 6.0], [(0.0, 3.0), (0.0, 80.0)])
    assert schedule.multiplier(inside) == pytest.approx(1 / math.sqrt(1 + 13 / 3))
    with pytest.raises(SpecError, match="needs an estimate with curvature_extremes"):
        see(schedule, [1.0])


@pytest.mark.parametrize("anneal", ["cosine", "linear", "wsd"])
def test_annealing_multiplies_any_pure_schedule(anneal: str) -> None:
    shape = parse(anneal)
    plain, annealed = CurvatureAdaptive(), CurvatureAdaptive(anneal=shape)  # type: ignore[arg-type]
    traces = [1.0, 2.0, 3.0, None, None]
    for seen in range(1, 6):
        ours = annealed.multiplier(see(annealed, traces[:seen], num_steps=5))
        expected = plain.multiplier(see(plain, traces[:seen], num_steps=5))
        expected *= float(shape.multiplier(seen - 1, 5))  # type: ignore[attr-defined]
        assert ours == expected


def test_a_warmup_in_front_starts_its_life_at_the_warmups_end() -> None:
    schedule = parse("curvature_adaptive:every=4+warmup=0.3").lifted()
    state = schedule.init(20)
    asked = [step for step in range(20) if schedule.wants_curvature(state, step)]
    assert asked == [6, 10, 14, 18]
    plain = parse("curvature_adaptive:every=4").lifted()
    assert [t for t in range(9) if plain.wants_curvature(plain.init(9), t)] == [0, 4, 8]
    assert not parse("cosine").lifted().wants_curvature(parse("cosine").lifted().init(9), 0)


def test_the_outcome_has_the_mean_multiplier_for_the_fixed_control() -> None:
    schedule = CurvatureAdaptive(scale="raw", smoothing=0.0)
    state = see(schedule, [3.0, None, 8.0, 0.0])  # 1/2, 1/2, 1/3, 1
    assert schedule.outcome(state)["curvature_mean_multiplier"] == pytest.approx(7 / 12)
    assert schedule.outcome(schedule.init(9))["curvature_mean_multiplier"] is None


@pytest.mark.parametrize(
    "name", ["curvature_adaptive:bounds=eigenvalue", "curvature_adaptive:anneal=cosine+warmup=0.2"]
)
def test_the_state_goes_through_json(name: str) -> None:
    schedule = parse(name).lifted()
    state = see(schedule, [1.0, None, math.nan, 3.0] * 3, [(0.0, 9.0)] * 12, num_steps=20)
    again = schedule.load(json.loads(json.dumps(schedule.dump(state))))
    assert again == state
    feedback = Feedback(12, 1.0, 2.0, (1.0, 4.0))
    assert schedule.update(again, feedback) == schedule.update(state, feedback)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"probes": 0}, "probes must be at least 1, got 0"),
        ({"max_skipped": 0}, "max_skipped must be at least 1, got 0"),
        ({"batch_fraction": 0.0}, r"batch_fraction must be in \(0, 1\], got 0.0"),
        ({"batch_fraction": 1.5}, r"batch_fraction must be in \(0, 1\], got 1.5"),
        ({"strength": -1.0}, "strength must be a finite number, 0 or more, got -1.0"),
        ({"strength": math.inf}, "strength must be a finite number, 0 or more, got inf"),
        ({"strength": math.nan}, "strength must be a finite number, 0 or more, got nan"),
        ({"smoothing": 1.0}, r"smoothing must be in \[0, 1\), got 1.0"),
        ({"min_multiplier": 0.5, "max_multiplier": 0.2}, "0.5 must not exceed max_multiplier 0.2"),
        ({"bounds": "eigenvalue", "min_multiplier": 0.1}, "need bounds = 'explicit'"),
        ({"estimator": "hutchison"}, "did you mean 'hutchinson'"),
        ({"anneal": "curvature_adaptive"}, "anneal"),
        ({"anneal": {"kind": "warmup", "then": "curvature_adaptive"}}, "must be a pure schedule"),
    ],
)
def test_bad_options_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse({"kind": "curvature_adaptive", **table})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": math.nan}, r"every must be a whole number \(an int\), got nan"),
        ({"every": 2.5}, r"every must be a whole number \(an int\), got 2.5"),
        ({"every": True}, r"every must be a whole number \(an int\), got True"),
        ({"probes": "3"}, r"probes must be a whole number \(an int\), got '3'"),
        ({"strength": "a"}, "strength must be a number, got 'a'"),
        ({"smoothing": None}, "smoothing must be a number, got None"),
        ({"batch_fraction": [1]}, r"batch_fraction must be a number, got \[1\]"),
        ({"min_multiplier": "a"}, "min_multiplier must be a number, got 'a'"),
        ({"estimator": 3}, "unknown estimator '3'; known: finite_difference"),
        ({"bounds": None}, "unknown bounds 'None'; known: eigenvalue, explicit"),
        ({"anneal": "cosin"}, "did you mean 'cosine'"),
        ({"anneal": 3}, "a schedule is a table with a kind, or a name; got 3"),
        ({"anneal": "auto_warmup"}, "must be a pure schedule, got 'auto_warmup'"),
    ],
)
def test_bad_options_are_refused_in_python_too(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        CurvatureAdaptive(**options)
    assert "\n" not in str(caught.value)


def test_annealing_may_be_spelt_as_in_a_table() -> None:
    written: Any = "wsd:decay_fraction=0.5"
    schedule = CurvatureAdaptive(every=7, anneal=written)
    assert schedule == CurvatureAdaptive(every=7, anneal=WSD(decay_fraction=0.5))
    assert parse(schedule.label) == schedule


def test_the_names_of_the_estimators_are_those_of_the_estimators() -> None:
    from robustlr.curvature import estimator_types

    assert set(ESTIMATORS) == set(estimator_types())


def test_the_formula_broadcasts() -> None:
    assert curvature_multiplier([[0.0], [3.0]], [1.0, 5.0]).tolist() == [[1.0, 1.0], [0.5, 0.25]]
