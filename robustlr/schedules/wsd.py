"""Warmup-stable-decay without its warmup: constant, then a cooldown (arXiv 2405.18392)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules.base import FloatArray, Schedule
from robustlr.schedules.require import require_share


@dataclass(frozen=True, slots=True, kw_only=True)
class WSD(Schedule):
    """m_t = 1 while t/T ≤ 1 − d, then s((1 − t/T)/d) with s(x) = x or 1 − √(1 − x).

    decay_fraction: d in (0, 1], the share of the horizon spent cooling down.
    cooldown: "linear", or "sqrt" (1 − √u, u from 0 to 1 over the cooldown).

    >>> WSD(decay_fraction=0.2).multiplier([0, 8, 9, 10], 10).round(12)
    array([1. , 1. , 0.5, 0. ])
    """

    kind: Literal["wsd"] = "wsd"
    decay_fraction: float = 0.2
    cooldown: Literal["linear", "sqrt"] = "linear"

    def __post_init__(self) -> None:
        require_share("decay_fraction", self.decay_fraction)
        if self.cooldown not in ("linear", "sqrt"):
            raise SpecError(f"cooldown must be 'linear' or 'sqrt', got '{self.cooldown}'")

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        u = np.asarray(step, dtype=np.float64) / num_steps
        left = np.clip((1.0 - u) / self.decay_fraction, 0.0, 1.0)
        return np.asarray(left if self.cooldown == "linear" else 1.0 - np.sqrt(1.0 - left))
