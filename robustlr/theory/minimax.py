"""The shape with the least worst-case bound over a range of learning rates, piece by piece.

    W(h) = min_c max_{c ≤ x ≤ cR} B(x),   B(x) = min_τ ½·(A(τ)/x + x·Q(τ)),   A = 1/H

(x, B in the units of `robustlr.theory.bound`.) Draw the restarts of the analysis as a curve
Q(A) and let v = −dQ/dA. Going through the shape, h = A·v, and the time spent is ∫dA/(A³v): convex
in v. The constraint of x is that the curve reaches the line A/x + xQ = 2W; the lines' envelope is
the hyperbola AQ = W². The Euler-Lagrange conditions, in units with c = W = 1:

    between constraints       v ~ A^(−3/2): h falls linearly in time
    on the hyperbola          h = H: h falls exponentially, all x equally bad
    at the first point A₀     it lies on the line of x = 1, and v = 1/2 there
    at the last constraint A₁ it lies on the line of x = R, and h jumps down so that
                              1/v₋ + 1/v₊ = 2R²; then h falls linearly to zero

The total time is W². The bound then is W = √(ln R + 3.777) for R ≥ 3.51: exponential
decay costs a logarithm of the ignorance, where polynomials pay a power of it. For
R up to the golden ratio the linear schedule is the minimiser, with W = √R + 1/√R. The conditions
are those of a stationary point; that nothing does better was checked with a numerical optimiser
and is tested on random shapes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from robustlr.schedules.base import FloatArray

_GOLDEN = (1.0 + math.sqrt(5.0)) / 2.0

# The line from A₀ to the hyperbola: A₀³ − 8A₀ + 8 = 0, and it touches at A = x = 4/A₀³.
_FIRST = math.sqrt(5.0) - 1.0
_TOUCH = _GOLDEN + 0.5
_FIRST_TIME = 1.0 / _GOLDEN

# The line from the hyperbola at A = x = 1 to A₁ = a², which is on the line of x = a²(6 − a)/4.
_ROOT = 4.0 - 2.0 * math.sqrt(2.0)
_LEAVE = 4.0 * math.sqrt(2.0) - 4.0
_LAST_TIME = 1.0 - 1.0 / math.sqrt(2.0)
_TAIL_TIME = 2.0 + 3.0 / math.sqrt(2.0)

_FROM_HYPERBOLA = _TOUCH * _LEAVE  # the least R whose shape has an exponential piece


@dataclass(frozen=True, slots=True, eq=False)
class MinimaxShape:
    """Knots of the minimiser. Its last piece but one is a jump: two knots at one time.

    worst: W in units of DG/√T. time: from 0 to 1. multiplier: from 1 to 0.
    """

    worst: float
    time: FloatArray
    multiplier: FloatArray


def minimax_shape(rho: float, *, knots_per_e_fold: int = 8) -> MinimaxShape:
    """The minimiser for a range of ratio `rho` ≥ 1.

    knots_per_e_fold: of its exponential piece.

    >>> round(minimax_shape(100.0).worst, 3)
    2.895
    """
    if rho <= _GOLDEN:
        worst = math.sqrt(rho) + 1.0 / math.sqrt(rho)
        return MinimaxShape(worst, np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    durations, heights = (
        _two_lines(rho) if rho < _FROM_HYPERBOLA else _with_exponential(rho, knots_per_e_fold)
    )
    time = np.concatenate([[0.0], np.cumsum(durations)])
    multiplier = np.array(heights)
    return MinimaxShape(math.sqrt(time[-1]), time / time[-1], multiplier / multiplier[0])


def _two_lines(rho: float) -> tuple[list[float], list[float]]:
    """Durations of the pieces (the jump's is 0), and h at their ends; no hyperbola in between.

    Both conditions at A₁, written in q = √(A₀/A₁).
    """

    def last(q: float) -> tuple[float, float]:
        A = (2.0 * rho - 2.0) / (rho * (2.0 * q**2 - q**3) - 1.0 / rho)
        return A, (2.0 - A / rho) / rho

    def jump(q: float) -> float:
        A, Q = last(q)
        return Q * (1.0 / q**3 - rho**2) + A

    least = brentq(lambda q: 2.0 * q**2 - q**3 - 1.0 / rho, 0.0, 1.0)  # where Q₁ = 0
    q = brentq(jump, least, 1.0)
    A, Q = last(q)
    slope = q**3 * A**1.5 / 2.0  # v = slope·A^(−3/2) on the first line
    durations = [2.0 / slope * (1.0 / q - 1.0) / math.sqrt(A), 0.0, 4.0 / (A * Q)]
    return durations, [q**2 * A / 2.0, A * q**3 / 2.0, Q / 2.0, 0.0]


def _with_exponential(rho: float, knots_per_e_fold: int) -> tuple[list[float], list[float]]:
    """The same, with the piece on the hyperbola from A = x = 2.118 to ρ/1.655."""
    e_folds = math.log(rho / _FROM_HYPERBOLA)
    knots = max(1, math.ceil(knots_per_e_fold * e_folds))
    leaves = rho / _LEAVE
    decay = np.exp(-e_folds * np.arange(knots + 1) / knots) / _TOUCH
    durations = [_FIRST_TIME, *[e_folds / knots] * knots, _LAST_TIME, 0.0, _TAIL_TIME]
    heights = [
        _FIRST / 2.0,
        *decay.tolist(),
        1.0 / (_ROOT * leaves),
        (2.0 - _ROOT) / (2.0 * _ROOT * leaves),
        0.0,
    ]
    return durations, heights
