"""The moving average of curvature traces, and the scale of a run that it may be relative to.

Notation
    x_k     k-th usable estimate of tr(H), signed
    s_k     its bias-corrected moving average; a_k, the same of |x_k|
    β       smoothing, the decay of both per estimate, in [0, 1)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Extremes = tuple[float, float]


@dataclass(frozen=True, slots=True)
class TraceAverage:
    """What the estimates so far have told.

    estimates, clamped: usable estimates, and those after which the average was negative.
    skipped, skipped_in_a_row: estimates that were not finite. trace: x_k. average, magnitude:
    uncorrected moving averages of x and |x|. reference: tr_ref, once known. extremes: the bounds
    that came with x_k.
    """

    estimates: int = 0
    clamped: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    trace: float | None = None
    average: float = 0.0
    magnitude: float = 0.0
    reference: float | None = None
    extremes: Extremes | None = None

    def after(self, trace: float, extremes: Extremes | None, smoothing: float) -> TraceAverage:
        """With one more estimate, which is passed over where it is not finite.

        tr_ref is a_k as soon as that is no longer mostly noise: the average holds half of its full
        weight, and s_k ≥ a_k/2.
        """
        if not all(map(math.isfinite, (trace, *(extremes or ())))):
            return dataclasses.replace(
                self, skipped=self.skipped + 1, skipped_in_a_row=self.skipped_in_a_row + 1
            )
        seen = dataclasses.replace(
            self,
            estimates=self.estimates + 1,
            skipped_in_a_row=0,
            trace=trace,
            average=smoothing * self.average + (1.0 - smoothing) * trace,
            magnitude=smoothing * self.magnitude + (1.0 - smoothing) * abs(trace),
            extremes=extremes,
        )
        smoothed, magnitude = seen.corrected(smoothing)
        heavy = 1.0 - smoothing**seen.estimates >= 0.5
        usable = heavy and smoothed > 0.0 and smoothed >= magnitude / 2.0
        return dataclasses.replace(
            seen,
            clamped=seen.clamped + (smoothed < 0.0),
            reference=magnitude if seen.reference is None and usable else seen.reference,
        )

    def corrected(self, smoothing: float) -> tuple[float, float]:
        """s_k and a_k: a moving average from zero has seen a share 1 − βᵏ of its weight."""
        weight = 1.0 - smoothing**self.estimates
        return self.average / weight, self.magnitude / weight

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> TraceAverage:
        """From the values of its fields, also after a round trip through JSON."""
        ends = values["extremes"]
        return cls(**{**values, "extremes": None if ends is None else (ends[0], ends[1])})
