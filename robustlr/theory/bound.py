"""How much a learning rate can cost: a bound on f(x) − f* as a function of the peak lr.

Every bound of this package has one form. The analysis may start at any moment of training (the
iterates stay in a domain of diameter D), and the best start counts:

    B(η) = min_k  D²/(2ηT)·a_k + (ηG²/2)·b_k

with pairs (a_k, b_k) that depend on the shape of the schedule alone. In the units
x = ηG√T/D and B/(DG/√T) that is  B(x) = min_k (a_k/x + b_k·x)/2.

Notation
    η, T     peak learning rate, number of updates
    D        diameter of the domain; G² ≥ E‖g‖²
    ρ        misspecification: the factor between the learning rate and the best one
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from robustlr.errors import SpecError
from robustlr.schedules.base import FloatArray

MOST_RATIO = 1e50  # of learning rates: powers of larger ones leave the range of floats
_OFFSETS = 257  # of a coarse grid against the optimum, before refinement
_TOUCHING = 1e-9  # how far above its worst a range may begin: where B is flat that settles it


@dataclass(frozen=True, eq=False)
class Bound:
    """B(η) of one schedule, its best learning rate, and what missing it costs.

    label: the schedule's. iterate: which one is bounded, the last or the average of all.
    exponent: e with B(ρη*)/B* ~ ρ^e as ρ → ∞, in the continuous limit.
    position, a, b: one entry per start of the analysis, in the order of training;
    between neighbours the pair is interpolated where `position` is given (a continuous limit).
    """

    label: str
    iterate: Literal["last", "average"]
    exponent: float
    a: FloatArray
    b: FloatArray
    position: FloatArray | None = None

    @cached_property
    def best_lr(self) -> float:
        """η* in units of D/(G√T)."""
        start = int(np.argmin(self.a * self.b))
        return float(np.sqrt(self.a[start] / self.b[start]))

    @cached_property
    def best(self) -> float:
        """B* = B(η*) in units of DG/√T."""
        return float(self.value(self.best_lr))

    def value(
        self, lr: ArrayLike, *, diameter: float = 1.0, gradient: float = 1.0, num_steps: int = 1
    ) -> FloatArray:
        """B(η) for learning rates of any shape; same shape out.

        diameter: D. gradient: G. num_steps: T. Left at 1, everything is in the units above.
        """
        unit = diameter / (gradient * np.sqrt(num_steps))
        x = np.asarray(lr, dtype=np.float64) / unit
        if not (np.isfinite(x) & (x > 0)).all():
            raise SpecError("a learning rate must be positive and finite")
        values = [self._least((self.a / one + self.b * one) / 2.0) for one in x.ravel()]
        return np.asarray(np.reshape(values, x.shape) * unit * gradient**2)

    def ratio(self, rho: ArrayLike) -> FloatArray:
        """The misspecification curve R(ρ) = B(ρη*)/B*, ρ > 0 on either side of 1."""
        factor = np.asarray(rho, dtype=np.float64)
        if not ((factor >= 1.0 / MOST_RATIO) & (factor <= MOST_RATIO)).all():
            raise SpecError(f"rho must be positive, and within a factor {MOST_RATIO:g} of 1")
        return self.value(factor * self.best_lr) / self.best

    def slope(self, low: float, high: float) -> float:
        """Log-log slope of R between two misspecifications: what an experiment can fit."""
        ends = np.array([low, high])
        rise = np.log(self.ratio(ends)) / np.log(high / low)
        return float(rise[1] - rise[0])

    def grid_penalty(self, ratio: float) -> float:
        """max over offsets of min over a two-sided grid of this ratio of B/B*.

        The grid's best point is used; its place relative to η* is the worst one.
        """
        return self.worst_within(ratio)[0] / self.best

    def worst_within(self, ratio: float) -> tuple[float, float]:
        """The least W with B ≤ W on a whole range [η, ratio·η], and that η.

        W in units of DG/√T, η in units of D/(G√T). The best point of a grid of this ratio is
        at its worst offset exactly W.
        """
        if not 1.0 <= ratio <= MOST_RATIO:
            raise SpecError(f"a ratio must be at least 1 and at most {MOST_RATIO:g}, got {ratio}")
        if ratio == 1.0:
            return self.best, self.best_lr
        worst = self._worst_offset(float(np.log(ratio)))
        if worst < self.best:  # so short a range is finer than the starts that `best_lr` is one of
            return self.best, self.best_lr
        # B falls from infinity and is worst at the lower end; below `steepest` it is above 2W
        steepest = float(self.a.min()) / (4.0 * worst)
        low = brentq(
            lambda log_lr: float(np.log(self.value(np.exp(log_lr)) / worst)) - _TOUCHING,
            np.log(steepest),
            np.log(self.best_lr),
            xtol=1e-12,
        )
        return worst, float(np.exp(low))

    def _worst_offset(self, span: float) -> float:
        def of_grid(shift: float) -> float:
            # neighbours beyond the two nearest points matter where B has several minima
            points = np.exp(shift + span * np.array([-2.0, -1.0, 0.0, 1.0]))
            return float(self.value(points * self.best_lr).min())

        shifts = np.linspace(0.0, span, _OFFSETS)
        worst = int(np.argmax([of_grid(shift) for shift in shifts]))
        bracket = (shifts[max(worst - 1, 0)], shifts[min(worst + 1, _OFFSETS - 1)])
        found = minimize_scalar(
            lambda shift: -of_grid(shift),
            bounds=bracket,
            method="bounded",
            options={"xatol": 1e-10 * max(span, 1.0)},
        )
        return -float(found.fun)

    def _least(self, values: FloatArray) -> float:
        """Minimum over starts, of the parabola through its neighbours where interpolated."""
        start = int(np.argmin(values))
        least = float(values[start])
        if self.position is None or not 0 < start < len(values) - 1:
            return least
        before, after = self.position[start - 1 : start + 2 : 2] - self.position[start]
        rise_before = (values[start - 1] - least) / before
        rise_after = (values[start + 1] - least) / after
        curvature = (rise_after - rise_before) / (after - before)
        if curvature <= 0.0:
            return least
        tilt = rise_before - curvature * before
        return least - float(tilt**2 / (4.0 * curvature))
