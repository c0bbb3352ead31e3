"""A shape given by points: what `robustlr theory design` returns and what a replay uses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules.base import FloatArray, Schedule
from robustlr.schedules.require import require_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulated(Schedule):
    """m_t = the linear interpolation of (fractions, multipliers) at t/T.

    fractions: strictly increasing from 0 to 1. multipliers: as many values in [0, 1].
    name: shown as the label, so that several tables in one study can be told apart.

    >>> Tabulated(fractions=(0, 0.5, 1), multipliers=(1, 1, 0)).multiplier([0, 5, 7.5], 10)
    array([1. , 1. , 0.5])
    """

    kind: Literal["tabulated"] = "tabulated"
    fractions: tuple[float, ...] = (0.0, 1.0)
    multipliers: tuple[float, ...] = (1.0, 0.0)
    name: str = "tabulated"

    def __post_init__(self) -> None:
        x, m = self.fractions, self.multipliers
        require_numbers("fractions", x)
        require_numbers("multipliers", m)
        if len(x) != len(m) or len(x) < 2:
            raise SpecError(
                f"fractions and multipliers must have the same length of at least 2, "
                f"got {len(x)} and {len(m)}"
            )
        if x[0] != 0.0 or x[-1] != 1.0 or any(not a < b for a, b in pairwise(x)):
            raise SpecError("fractions must increase strictly from 0 to 1")
        if any(not (math.isfinite(value) and 0.0 <= value <= 1.0) for value in m):
            raise SpecError("multipliers must all be in [0, 1]")

    @property
    def label(self) -> str:
        return self.name

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        u = np.asarray(step, dtype=np.float64) / num_steps
        return np.asarray(np.interp(u, self.fractions, self.multipliers))
