"""The constant learning rate: the baseline that every other schedule is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.schedules.base import FloatArray, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed(Schedule):
    """m_t = 1.

    >>> Fixed().multiplier([0, 10], 10)
    array([1., 1.])
    """

    kind: Literal["fixed"] = "fixed"

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        return np.ones_like(np.asarray(step, dtype=np.float64))
