"""Polynomial decay to zero; degree 1 is the linear schedule (arXiv 2503.09411, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules.base import FloatArray, Schedule, number
from robustlr.schedules.require import require_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial(Schedule):
    """m_t = (1 − t/T)^p.

    degree: p > 0. With a learning rate too large by ρ, projected SGD on a convex problem
    pays O(ρ^(1/(2p+1))/√T) (Attia & Koren 2025).

    >>> Polynomial(degree=2).multiplier([0, 5, 10], 10)
    array([1.  , 0.25, 0.  ])
    """

    kind: Literal["polynomial"] = "polynomial"
    degree: float = 1.0

    def __post_init__(self) -> None:
        require_number("degree", self.degree)
        if not (math.isfinite(self.degree) and self.degree > 0):
            raise SpecError(f"degree must be a positive number, got {self.degree}")

    @property
    def label(self) -> str:
        return "linear" if self.degree == 1 else f"polynomial:degree={number(self.degree)}"

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        u = np.asarray(step, dtype=np.float64) / num_steps
        return np.asarray(np.maximum(1.0 - u, 0.0) ** self.degree)
