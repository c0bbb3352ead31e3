"""The any-time schedule of stochastic convex optimisation: one over the root of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules.base import FloatArray, Schedule
from robustlr.schedules.require import require_number


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSqrt(Schedule):
    """m_t = 1/√(1 + t/k).

    timescale: k > 0 in updates; k = 1 gives the textbook 1/√(t + 1). The shape does not
    depend on the horizon and does not reach zero.

    >>> InverseSqrt().multiplier([0, 3], 10)
    array([1. , 0.5])
    """

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    timescale: float = 1.0

    def __post_init__(self) -> None:
        require_number("timescale", self.timescale)
        if not (math.isfinite(self.timescale) and self.timescale > 0):
            raise SpecError(f"timescale must be a positive number of updates, got {self.timescale}")

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        t = np.asarray(step, dtype=np.float64)
        return np.asarray(1.0 / np.sqrt(1.0 + t / self.timescale))
