"""A replay makes the decisions that a run would have made."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robustlr.errors import DataError, SpecError
from robustlr.schedules import AutoWarmup, Cosine, CurvatureAdaptive, Feedback, Warmup, parse
from robustlr.schedules.loss_blocks import LossBlocks
from robustlr.schedules.minimum_test import judge
from robustlr.schedules.replay import replay, with_test_every
from robustlr.training import train
from robustlr.workloads import build_workload
from tests.training.cells import digits_cell

LOSSES = [0.1 + abs(step - 50) / 50 for step in range(200)]


def test_a_pure_schedule_is_its_own_curve() -> None:
    result = replay(Cosine(), [1.0] * 10, 10)
    assert result.multipliers == tuple(float(Cosine().multiplier(t, 10)) for t in range(10))
    assert (result.tests, result.switch_step, dict(result.telemetry)) == ((), None, {})


@pytest.mark.parametrize("every", [1, 5, 20])
def test_every_test_is_listed_with_its_probability(every: int) -> None:
    schedule = with_test_every(AutoWarmup(patience=2), every)
    result = replay(schedule, LOSSES, 200)
    steps = [test.step for test in result.tests]
    first = max(every, math.ceil(8 / every) * every)
    assert steps == list(range(first - 1, steps[-1] + 1, every))
    assert result.switch_step == steps[-1]
    assert [test.probability > 0.95 for test in result.tests][-2:] == [True, True]
    assert result.outcome["warmup_probability"] == result.tests[-1].probability


def test_a_lost_test_has_its_probability_too() -> None:
    # a run settles these without a process, and counts 0
    result = replay(AutoWarmup(), LOSSES[:45], 200)
    blocks = LossBlocks()
    probabilities = []
    for step, loss in enumerate(LOSSES[:45]):
        blocks = blocks.add(loss)
        if (step + 1) % 2 == 0 and step > 6:
            verdict = judge(blocks.means, lengthscale=0.2, votes=5)
            probabilities.append(verdict.probability)
    assert [test.probability for test in result.tests] == probabilities
    assert set(result.telemetry["warmup_probability"]) == {None, 0.0}


def test_tests_can_be_spaced() -> None:
    schedule = with_test_every(AutoWarmup(), 10)
    assert schedule == AutoWarmup(test_every=10)
    steps = [test.step for test in replay(schedule, LOSSES[:180], 180).tests]
    assert set(np.diff(steps)) == {10}


def test_multipliers_are_those_of_a_run() -> None:
    schedule = AutoWarmup()
    state, expected = schedule.init(200), []
    for step, loss in enumerate(LOSSES):
        state = schedule.update(state, Feedback(step, loss))
        expected.append(schedule.multiplier(state))
    assert replay(schedule, LOSSES, 200).multipliers == tuple(expected)


def test_traces_reach_a_curvature_schedule() -> None:
    schedule = CurvatureAdaptive(scale="raw")
    result = replay(schedule, [1.0, 1.0, 1.0], 3, [3.0, None, math.nan])
    assert result.multipliers == (0.5, 0.5, 0.5)
    assert result.telemetry["curvature_trace"] == (3.0, 3.0, 3.0)


@pytest.mark.parametrize("warmup", ["", "+warmup=0.25"])
def test_a_runs_own_curve_gives_its_multipliers(warmup: str) -> None:
    schedule = f"curvature_adaptive:every=10,scale=raw,strength=0.3,anneal=cosine{warmup}"
    cell = digits_cell(schedule, num_steps=60, log_every=1)
    record, curve = train(cell, build_workload(cell.workload))
    rows = curve.filter(curve["step"] > 0)
    traces = rows["curvature_trace"].to_list()
    assert len([trace for trace in traces if trace is not None]) >= 45  # the last one, in every row
    result = replay(cell.schedule, rows["train_loss"].to_list(), 60, traces)
    assert [cell.peak_lr * m for m in result.multipliers] == rows["lr"].to_list()
    assert result.outcome == record.outcome
    assert result.outcome["curvature_estimates"] == (5 if warmup else 6)


@pytest.mark.parametrize(("warmup", "ends"), [("", 24), ("+warmup=0.1", 34)])
def test_traces_that_are_not_finite_end_it_as_they_would_a_run(warmup: str, ends: int) -> None:
    schedule = parse(f"curvature_adaptive:every=8,max_skipped=4{warmup}")
    result = replay(schedule, [1.0] * 90, 100, [math.inf] * 90)
    assert result.diverged_step == ends
    assert len(result.multipliers) == ends + 1
    assert result.outcome["curvature_skipped"] == 4
    healed = [math.inf] * 24 + [2.0] * 66
    assert replay(schedule, [1.0] * 90, 100, healed).diverged_step is None


def test_traces_at_other_steps_alone_are_refused() -> None:
    schedule = CurvatureAdaptive(every=10)
    said = r"no trace is at a step at which 'curvature_adaptive.*' asks for one \(0, 10, 20, …"
    with pytest.raises(DataError, match=said):
        replay(schedule, [1.0] * 40, 40, [3.0 if step % 10 == 9 else None for step in range(40)])
    unseen = replay(schedule, [1.0] * 30, 30, [None] * 30)  # a run before its first estimate
    assert unseen.outcome["curvature_estimates"] == 0


def test_the_eigenvalue_bounds_are_told_the_way_out() -> None:
    with pytest.raises(SpecError, match=r"no curve holds .*: take bounds = 'explicit'"):
        replay(parse("curvature_adaptive:bounds=eigenvalue+warmup"), [1.0], 10, [1.0])


def test_nan_in_the_middle_ends_the_warmup_there() -> None:
    result = replay(AutoWarmup(), [*LOSSES[:30], math.nan, *LOSSES[31:]], 200)
    assert result.switch_step == 30
    assert result.outcome["warmup_reason"] == "non_finite_loss"


def test_a_warmup_that_goes_on_has_no_switch() -> None:
    assert replay(AutoWarmup(), LOSSES[:20], 200).switch_step is None


@pytest.mark.parametrize(
    ("losses", "traces", "message"),
    [
        ([], None, "no loss to replay"),
        ([1.0] * 11, None, "11 losses are more than the horizon of 10"),
        ([1.0] * 3, [1.0], "3 losses, but 1 traces"),
    ],
)
def test_bad_input_is_one_clear_line(
    losses: list[float], traces: list[float | None] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        replay(AutoWarmup(), losses, 10, traces)


def test_a_curvature_schedule_needs_traces() -> None:
    with pytest.raises(SpecError, match="give it traces"):
        replay(parse("curvature_adaptive+warmup"), [1.0], 10)


def test_only_auto_warmup_makes_tests() -> None:
    with pytest.raises(SpecError, match="'cosine' makes no tests"):
        with_test_every(Cosine(), 5)
    with pytest.raises(SpecError, match=r"'cosine\+warmup' makes no tests"):
        with_test_every(Warmup(then=Cosine()), 5)
