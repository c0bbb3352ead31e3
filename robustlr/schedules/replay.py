"""What a schedule would have done on a recorded loss curve.

The losses stay what they were: had the schedule set the learning rate, later losses would have
been others. What a replay shows honestly is the first decision, such as the end of a warmup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed

from robustlr.errors import DataError, SpecError
from robustlr.schedules.auto_warmup import AutoWarmup
from robustlr.schedules.base import AnySchedule, Feedback


@dataclass(frozen=True, slots=True)
class WarmupTest:
    """A test of `auto_warmup`: at which step, and the probability it gave."""

    step: int
    probability: float


@dataclass(frozen=True, slots=True)
class Replay:
    """multipliers: m_t of every update of the horizon. telemetry: columns of equal length, None
    where there was no number. tests: of an automated warmup, otherwise empty. outcome: see
    `FeedbackSchedule.outcome`."""

    multipliers: tuple[float, ...]
    telemetry: Mapping[str, tuple[float | None, ...]]
    tests: tuple[WarmupTest, ...]
    outcome: Mapping[str, int | float | str | None]

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
    traces: None or NaN where none was estimated. An automated warmup in front of anything else
    is seen through its outcome.

    Raises DataError for no loss or too many, SpecError where the schedule needs traces and has
    none.
    """
    if not losses:
        raise DataError("there is no loss to replay")
    if len(losses) > num_steps:
        raise DataError(f"{len(losses)} losses are more than the horizon of {num_steps} updates")
    if traces is not None and len(traces) != len(losses):
        raise DataError(f"{len(losses)} losses, but {len(traces)} traces")
    if schedule.curvature_request is not None and traces is None:
        raise SpecError(f"'{schedule.label}' learns from the curvature: give it traces")
    lifted = schedule.lifted()
    state = lifted.init(num_steps)
    multipliers: list[float] = []
    rows: list[Mapping[str, float]] = []
    for step, loss in enumerate(losses):
        trace = None if traces is None else traces[step]
        if trace is not None and math.isnan(trace):
            trace = None
        state = lifted.update(state, Feedback(step, loss, trace))
        multipliers.append(lifted.multiplier(state))
        rows.append(lifted.telemetry(state))
    names = sorted({name for row in rows for name in row})
    columns = {name: tuple(_finite(row.get(name)) for row in rows) for name in names}
    return Replay(tuple(multipliers), columns, _tests(columns), lifted.outcome(state))


def with_test_every(schedule: AnySchedule, test_every: int) -> AnySchedule:
    """`schedule` with that many updates between the tests of its automated warmup.

    Raises SpecError where it has none.
    """
    if not isinstance(schedule, AutoWarmup):
        raise SpecError(f"'{schedule.label}' makes no tests: only auto_warmup does")
    return changed(schedule, test_every=test_every)


def _tests(columns: Mapping[str, tuple[float | None, ...]]) -> tuple[WarmupTest, ...]:
    counts = columns.get("warmup_tests", ())
    return tuple(
        WarmupTest(step, float(columns["warmup_probability"][step] or 0.0))
        for step, (count, last) in enumerate(zip(counts, (0.0, *counts), strict=False))
        if count != last
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
