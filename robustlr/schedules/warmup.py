"""Linear warmup as a wrapper around any schedule, with or without feedback."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules.auto_warmup import AutoWarmup
from robustlr.schedules.base import (
    AnySchedule,
    FeedbackSchedule,
    FloatArray,
    Schedule,
    number,
    parse_field,
)
from robustlr.schedules.cosine import Cosine
from robustlr.schedules.feedback import CurvatureRequest, Feedback
from robustlr.schedules.require import require_number

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup(Schedule):
    """m_t = (t + 1)/(W + 1) for t < W = ⌈w·T⌉, then the wrapped shape over the T − W left.

    warmup_fraction: w in [0, 1), the share of the horizon spent warming up.
    then: the wrapped schedule or its shorthand; one with feedback starts to see it at t = W.

    >>> Warmup(warmup_fraction=0.2, then=Cosine()).multiplier([0, 1, 2, 6, 10], 10).round(3)
    array([0.333, 0.667, 1.   , 0.5  , 0.   ])
    """

    kind: Literal["warmup"] = "warmup"
    warmup_fraction: float = 0.1
    then: AnySchedule = field(default_factory=Cosine)

    def __post_init__(self) -> None:
        require_number("warmup_fraction", self.warmup_fraction)
        parse_field(self, "then")
        if not 0.0 <= self.warmup_fraction < 1.0:
            raise SpecError(f"warmup_fraction must be in [0, 1), got {self.warmup_fraction}")
        if isinstance(self.then, Warmup):
            raise SpecError("a warmup cannot wrap another warmup")
        if isinstance(self.then, AutoWarmup):  # whose first multiplier is not 1, but next to 0
            raise SpecError("auto_warmup warms up by itself: leave out the warmup in front of it")

    @property
    def label(self) -> str:
        default = self.warmup_fraction == 0.1
        return f"{self.then.label}+warmup" + ("" if default else f"={number(self.warmup_fraction)}")

    @property
    def curvature_request(self) -> CurvatureRequest | None:
        return self.then.curvature_request

    def warmup_steps(self, num_steps: int) -> int:
        """W, the updates of a run of `num_steps` that are spent warming up (at most T − 1)."""
        # 0.07 of 100 updates is 7.000000000000001 in floating point, and means 7
        exact = self.warmup_fraction * num_steps
        return min(math.ceil(exact * (1.0 - _ROUNDING)), num_steps - 1)

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        if not isinstance(self.then, Schedule):
            raise SpecError(f"{self.label} needs feedback from training: it has no fixed shape")
        t = np.asarray(step, dtype=np.float64)
        w = self.warmup_steps(num_steps)
        ramp = (t + 1.0) / (w + 1.0)
        return np.where(t < w, ramp, self.then.multiplier(np.maximum(t - w, 0.0), num_steps - w))

    def lifted(self) -> FeedbackSchedule[Any]:
        return (
            WarmedUp(self)
            if isinstance(self.then, FeedbackSchedule)
            else super(Warmup, self).lifted()
        )


@dataclass(frozen=True, slots=True)
class WarmedUpState:
    """Step of num_steps, and the wrapped schedule's dumped state."""

    step: int
    num_steps: int
    inner: Any


@dataclass(frozen=True, slots=True)
class WarmedUp(FeedbackSchedule[WarmedUpState]):
    """A warmup in front of a feedback schedule."""

    warmup: Warmup
    kind: str = "warmed_up"
    state_type: ClassVar[type[Any]] = WarmedUpState

    @property
    def _inner(self) -> FeedbackSchedule[Any]:
        return self.warmup.then.lifted()

    @property
    def label(self) -> str:
        return self.warmup.label

    @property
    def curvature_request(self) -> CurvatureRequest | None:
        return self.warmup.curvature_request

    def init(self, num_steps: int) -> WarmedUpState:
        w = self.warmup.warmup_steps(num_steps)
        return WarmedUpState(0, num_steps, self._inner.init(num_steps - w))

    def update(self, state: WarmedUpState, feedback: Feedback) -> WarmedUpState:
        w = self.warmup.warmup_steps(state.num_steps)
        inner = state.inner
        if feedback.step >= w:
            inner = self._inner.update(inner, dataclasses.replace(feedback, step=feedback.step - w))
        return WarmedUpState(feedback.step, state.num_steps, inner)

    def multiplier(self, state: WarmedUpState) -> float:
        w = self.warmup.warmup_steps(state.num_steps)
        return (state.step + 1) / (w + 1) if state.step < w else self._inner.multiplier(state.inner)

    def wants_curvature(self, state: WarmedUpState, step: int) -> bool:
        w = self.warmup.warmup_steps(state.num_steps)
        return step >= w and self._inner.wants_curvature(state.inner, step - w)

    def telemetry(self, state: WarmedUpState) -> Mapping[str, float]:
        return self._inner.telemetry(state.inner)

    def outcome(self, state: WarmedUpState) -> Mapping[str, int | float | str | None]:
        w = self.warmup.warmup_steps(state.num_steps)
        return {
            name: value + w if name.endswith("_step") and isinstance(value, int) else value
            for name, value in self._inner.outcome(state.inner).items()
        }

    def dump(self, state: WarmedUpState) -> dict[str, Any]:
        return {
            "step": state.step,
            "num_steps": state.num_steps,
            "inner": self._inner.dump(state.inner),
        }

    def load(self, values: Mapping[str, Any]) -> WarmedUpState:
        return WarmedUpState(values["step"], values["num_steps"], self._inner.load(values["inner"]))
