"""Cosine annealing (Loshchilov & Hutter 2017, arXiv 1608.03983), without restarts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.schedules.base import FloatArray, Schedule
from robustlr.schedules.require import require_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """m_t = f + (1 − f)·(1 + cos(πt/T))/2.

    final_multiplier: f in [0, 1], the multiplier at t = T.

    >>> Cosine().multiplier([0, 5, 10], 10).round(12)
    array([1. , 0.5, 0. ])
    """

    kind: Literal["cosine"] = "cosine"
    final_multiplier: float = 0.0

    def __post_init__(self) -> None:
        require_fraction("final_multiplier", self.final_multiplier)

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        u = np.asarray(step, dtype=np.float64) / num_steps
        shape = (1.0 + np.cos(np.pi * u)) / 2.0
        return np.asarray(self.final_multiplier + (1.0 - self.final_multiplier) * shape)
