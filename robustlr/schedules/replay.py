"""What a schedule would have done on a recorded loss curve.

The losses stay what they were: had the schedule set the learning rate, later losses would have
been others. What a replay shows honestly is the first decision, such as the end of a warmup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

from robustlr.errors import DataError, SpecError
from robustlr.schedules.auto_warmup import AutoWarmup
from robustlr.schedules.base import AnySchedule
from robustlr.schedules.feedback import Feedback
from robustlr.schedules.require import require_count


@dataclass(frozen=True, slots=True)
class WarmupTest:
    """A test of `auto_warmup`: at which step, and the probability that the process gives.

    That is also found where the schedule knows without it that the test is lost, and counts 0.
    """

    step: int
    probability: float


@dataclass(frozen=True, slots=True)
class Replay:
    """multipliers: m_t of every update that was replayed. telemetry: columns of equal length, None
    where there was no number. tests: of an automated warmup, otherwise empty. outcome: see
    `FeedbackSchedule.outcome`. diverged_step: the step at which a run would end as diverged, as too
    many traces in a row are not finite; the last that is replayed."""

    multipliers: tuple[float, ...]
    telemetry: Mapping[str, tuple[float | None, ...]]
    tests: tuple[WarmupTest, ...]
    outcome: Mapping[str, int | float | str | None]
    diverged_step: int | None = None

    @property
    def switch_step(self) -> int | None:
        """The step at which an automated warmup ended, if there is one and it did."""
        step = self.outcome.get("warmup_switch_step")
        return None if step is None else int(step)


def replay(
    schedule: AnySchedule,
    losses: Sequence[float],
    num_steps: int,
    traces: Sequence[float | None] | None = None,
) -> Replay:
    """Feed one loss per update, from step 0 on, and the curvature traces where there are any.

    losses: at most `num_steps` of them, finite or not; steps beyond the last one are not replayed.
    traces: None or NaN where none was estimated. Only those of the steps at which the schedule asks
        for one count, so that a run's own column `curvature_trace`, which repeats the last one in
        every row, gives the run's own multipliers. (It does not tell of estimates passed over.)

    Raises DataError for no loss or too many, or traces at other steps alone, SpecError where the
    schedule needs traces and has none, or needs more of the curvature.
    """
    require_count("num_steps", num_steps)
    if not losses:
        raise DataError("there is no loss to replay")
    if len(losses) > num_steps:
        raise DataError(f"{len(losses)} losses are more than the horizon of {num_steps} updates")
    if traces is not None and len(traces) != len(losses):
        raise DataError(f"{len(losses)} losses, but {len(traces)} traces")
    request = schedule.curvature_request
    if request is not None and traces is None:
        raise SpecError(f"'{schedule.label}' learns from the curvature: give it traces")
    if request is not None and request.extremes:
        raise SpecError(
            f"'{schedule.label}' cannot be replayed, as no curve holds the diagonal's extremes: "
            "take bounds = 'explicit', the same wherever the eigenvalue bounds do not bind"
        )
    lifted = schedule.lifted()
    state, diverged = lifted.init(num_steps), False
    asked: list[int] = []
    usable = False
    multipliers: list[float] = []
    rows: list[Mapping[str, float]] = []
    tests: list[WarmupTest] = []
    for step, loss in enumerate(losses):
        trace = None
        if traces is not None and lifted.wants_curvature(state, step):
            trace = _estimated(traces[step])
            asked.append(step)
            usable = usable or trace is not None
        before, state = state, lifted.update(state, Feedback(step, loss, trace))
        probability = _probability(schedule, before, state, loss)
        if probability is not None:
            tests.append(WarmupTest(step, probability))
        multipliers.append(lifted.multiplier(state))
        rows.append(lifted.telemetry(state))
        diverged = bool(rows[-1].get("curvature_failed"))
        if diverged:
            break
    if asked and not usable and any(_estimated(trace) is not None for trace in traces or ()):
        steps = ", ".join(map(str, asked[:3])) + (", …" if len(asked) > 3 else "")
        raise DataError(
            f"no trace is at a step at which '{schedule.label}' asks for one ({steps}; the first "
            "update is step 0)"
        )
    names = sorted({name for row in rows for name in row})
    columns = {name: tuple(_finite(row.get(name)) for row in rows) for name in names}
    diverged_step = len(rows) - 1 if diverged else None
    return Replay(tuple(multipliers), columns, tuple(tests), lifted.outcome(state), diverged_step)


def with_test_every(schedule: AnySchedule, test_every: int) -> AnySchedule:
    """`schedule` with that many updates between the tests of its automated warmup.

    Raises SpecError where it has none.
    """
    if not isinstance(schedule, AutoWarmup):
        raise SpecError(f"'{schedule.label}' makes no tests: only auto_warmup does")
    return changed(schedule, test_every=test_every)


def _probability(schedule: AnySchedule, before: Any, after: Any, loss: float) -> float | None:
    """Of the test that the update from `before` to `after` made, if it made one."""
    if not isinstance(schedule, AutoWarmup) or after.tests == before.tests:
        return None
    verdict = schedule.judged(before.blocks.add(loss))
    return None if verdict is None else verdict.probability


def _estimated(trace: float | None) -> float | None:
    return None if trace is None or math.isnan(trace) else trace


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
