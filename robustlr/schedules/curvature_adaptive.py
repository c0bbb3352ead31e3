"""A learning rate that shrinks where the loss is curved: η_t = η_0/√(1 + λ·tr(H_t)).

Notation
    s_k     moving average of the estimates of tr(H), one every few updates, and a_k of their
            magnitudes: see `trace_average`
    λ       strength of the correction: raw, or c/tr_ref relative to the run's own scale

The order matters. A trace can be negative (networks with normalisation at initialisation),
and clamping every estimate would bias the mean upwards: so the signed estimates are smoothed
first, then clamped at 0, then turned into a multiplier, then bounded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError, did_you_mean
from robustlr.schedules.base import FeedbackSchedule, FloatArray, Lifted, Schedule, parse_field
from robustlr.schedules.feedback import CurvatureRequest, Feedback
from robustlr.schedules.fixed import Fixed
from robustlr.schedules.require import (
    require_count,
    require_fraction,
    require_number,
    require_share,
)
from robustlr.schedules.trace_average import Extremes, TraceAverage

ESTIMATORS = ("hutchinson", "gauss_newton", "finite_difference", "squared_gradient")
_CHOICES = {
    "estimator": ESTIMATORS,
    "scale": ("relative", "raw"),
    "bounds": ("explicit", "eigenvalue"),
}
_NO_ANNEALING = Fixed()


def curvature_multiplier(trace: ArrayLike, strength: ArrayLike) -> FloatArray:
    """1/√(1 + λ·max(0, tr)), in [0, 1], elementwise.

    trace: tr, any shape. strength: λ ≥ 0, broadcast against it.

    >>> curvature_multiplier([-5.0, 0.0, 3.0], 1.0)
    array([1. , 1. , 0.5])
    """
    positive = np.maximum(np.asarray(trace, dtype=np.float64), 0.0)
    return np.asarray(1.0 / np.sqrt(1.0 + np.asarray(strength) * positive))


@dataclass(frozen=True, slots=True)
class CurvatureAdaptiveState:
    """Where a run stands: step of num_steps.

    curvature_multiplier: what the schedule makes of `seen`; only an estimate changes the two.
    multiplier_sum: Σ m_t over the updates so far.
    """

    step: int
    num_steps: int
    curvature_multiplier: float
    seen: TraceAverage
    multiplier_sum: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureAdaptive(FeedbackSchedule[CurvatureAdaptiveState]):
    """m_t = a(t/T)·clip(1/√(1 + λ·max(0, s_k)), min_multiplier, max_multiplier).

    estimator, every, batch_fraction, probes: which estimate of tr(H), every how many updates,
        on which share of the batch, with how many probes (see `CurvatureRequest`).
    scale, strength: "raw" takes λ = strength, as the paper does; it does not transfer, as
        traces of small networks already run from −150 to 350. "relative" takes
        λ = strength/tr_ref, so that η is measured against the run's early curvature. tr_ref is
        a_k as soon as that is no longer mostly noise: the average holds half of its full weight
        (4 estimates at 0.8; from one probe alone it was off by tenfold between seeds), and
        s_k ≥ a_k/2. Until then tr_ref = a_k; before any estimate, tr = tr_ref.
    smoothing: decay of the moving average per estimate, in [0, 1). The defaults average over
        some 200 updates, 40/(1 − 0.8), at a cost of at most 3 % of a step (8 % for tiny models,
        see reports/curvature-overhead): twice as often at 0.9 is no better and costs double.
    bounds: "explicit" uses min_multiplier and max_multiplier. "eigenvalue" uses the paper's,
        1/√(1 + λ·n·h) at the largest and the smallest entry h of the estimated diagonal: the
        trace itself always lies between them, so they hardly ever bind.
    anneal: a, any pure schedule or its shorthand, multiplied in after the bounds; "fixed" for
        none, as in the paper.
    max_skipped: non-finite estimates in a row after which telemetry's `curvature_failed` turns
        1 and the training loop ends the run as diverged. A skipped estimate changes nothing else.

    The trace is usually lowest at the start, so alone this is the opposite of a warmup: put
    ``+warmup`` in front. Under Adam the curvature that limits the step is that of the
    preconditioned loss, which tr(H) does not measure.

    >>> schedule = CurvatureAdaptive(scale="raw")
    >>> state = schedule.update(schedule.init(100), Feedback(0, 2.3, curvature_trace=3.0))
    >>> schedule.multiplier(state)
    0.5
    """

    kind: Literal["curvature_adaptive"] = "curvature_adaptive"
    estimator: str = "hutchinson"
    every: int = 40
    batch_fraction: float = 0.125
    probes: int = 1
    scale: Literal["relative", "raw"] = "relative"
    strength: float = 1.0
    smoothing: float = 0.8
    bounds: Literal["explicit", "eigenvalue"] = "explicit"
    min_multiplier: float = 0.0
    max_multiplier: float = 1.0
    anneal: Schedule = _NO_ANNEALING
    max_skipped: int = 5
    state_type: ClassVar[type[Any]] = CurvatureAdaptiveState

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise SpecError(f"unknown {name} '{value}'; {did_you_mean(str(value), known)}")
        for name in ("every", "probes", "max_skipped"):
            require_count(name, getattr(self, name))
        require_share("batch_fraction", self.batch_fraction)
        for name in ("strength", "smoothing"):
            require_number(name, getattr(self, name))
        if not (math.isfinite(self.strength) and self.strength >= 0.0):
            raise SpecError(f"strength must be a finite number, 0 or more, got {self.strength}")
        if not 0.0 <= self.smoothing < 1.0:
            raise SpecError(f"smoothing must be in [0, 1), got {self.smoothing}")
        require_fraction("min_multiplier", self.min_multiplier)
        require_fraction("max_multiplier", self.max_multiplier)
        low, high = self.min_multiplier, self.max_multiplier
        if low > high:
            raise SpecError(f"min_multiplier {low} must not exceed max_multiplier {high}")
        if self.bounds == "eigenvalue" and (low, high) != (0.0, 1.0):
            raise SpecError("min_multiplier and max_multiplier need bounds = 'explicit'")
        parse_field(self, "anneal")
        if not isinstance(self.anneal.lifted(), Lifted):
            raise SpecError(f"anneal must be a pure schedule, got '{self.anneal.label}'")

    @property
    def curvature_request(self) -> CurvatureRequest:
        return CurvatureRequest(
            estimator=self.estimator,
            every=self.every,
            batch_fraction=self.batch_fraction,
            probes=self.probes,
            extremes=self.bounds == "eigenvalue",
        )

    def init(self, num_steps: int) -> CurvatureAdaptiveState:
        seen = TraceAverage()
        return CurvatureAdaptiveState(0, num_steps, self._curvature_multiplier(seen), seen)

    def update(self, state: CurvatureAdaptiveState, feedback: Feedback) -> CurvatureAdaptiveState:
        if feedback.curvature_trace is not None:
            state = self._learn(state, feedback.curvature_trace, feedback.curvature_extremes)
        multiplier = self._multiplier_at(feedback.step, state)
        return dataclasses.replace(
            state, step=feedback.step, multiplier_sum=state.multiplier_sum + multiplier
        )

    def _learn(
        self, state: CurvatureAdaptiveState, trace: float, extremes: Extremes | None
    ) -> CurvatureAdaptiveState:
        if self.bounds == "eigenvalue" and extremes is None:
            raise SpecError("bounds = 'eigenvalue' needs an estimate with curvature_extremes")
        seen = state.seen.after(trace, extremes, self.smoothing)
        return dataclasses.replace(
            state, seen=seen, curvature_multiplier=self._curvature_multiplier(seen)
        )

    def multiplier(self, state: CurvatureAdaptiveState) -> float:
        return self._multiplier_at(state.step, state)

    def telemetry(self, state: CurvatureAdaptiveState) -> Mapping[str, float]:
        seen = state.seen
        smoothed = math.nan if seen.trace is None else seen.corrected(self.smoothing)[0]
        return {
            "curvature_trace": math.nan if seen.trace is None else seen.trace,
            "curvature_smoothed": smoothed,
            "curvature_clamped": float(smoothed < 0.0),
            "curvature_multiplier": state.curvature_multiplier,
            "curvature_failed": float(seen.skipped_in_a_row >= self.max_skipped),
        }

    def outcome(self, state: CurvatureAdaptiveState) -> Mapping[str, int | float | str | None]:
        seen = state.seen
        return {
            "curvature_estimates": seen.estimates,
            "curvature_skipped": seen.skipped,
            "curvature_clamped_share": seen.clamped / seen.estimates if seen.estimates else None,
            "curvature_reference": seen.reference,
            "curvature_mean_multiplier": state.multiplier_sum / (state.step + 1) or None,
        }

    def load(self, values: Mapping[str, Any]) -> CurvatureAdaptiveState:
        return CurvatureAdaptiveState(**{**values, "seen": TraceAverage.load(values["seen"])})

    def _multiplier_at(self, step: int, state: CurvatureAdaptiveState) -> float:
        if self.anneal is _NO_ANNEALING:
            return state.curvature_multiplier
        return float(self.anneal.multiplier(step, state.num_steps)) * state.curvature_multiplier

    def _curvature_multiplier(self, seen: TraceAverage) -> float:
        if seen.trace is None:
            unseen = 1.0 if self.scale == "relative" else 0.0
            return self._bounded(float(curvature_multiplier(unseen, self.strength)))
        smoothed, magnitude = seen.corrected(self.smoothing)
        unit = 1.0
        if self.scale == "relative":
            # Until the reference is fixed it follows the average magnitude, so that nothing
            # jumps on the day it is. Estimates of exactly 0 leave nothing to be relative to.
            unit = (seen.reference if seen.reference is not None else magnitude) or 1.0
        value = self._at(smoothed, unit)
        if self.bounds == "eigenvalue" and seen.extremes is not None:
            # The larger the trace, the smaller the multiplier: the ends swap.
            high, low = (self._at(end, unit) for end in seen.extremes)
            return min(max(value, low), high)
        return self._bounded(value)

    def _at(self, trace: float, unit: float) -> float:
        """λ comes first: a trace over a tiny unit may be infinite, and 0·∞ is no number."""
        return float(curvature_multiplier(self.strength * trace / unit, 1.0))

    def _bounded(self, value: float) -> float:
        return min(max(value, self.min_multiplier), self.max_multiplier)
