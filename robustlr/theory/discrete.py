"""The bound at a finite horizon, summed over updates, with a gradient norm for each.

With η_t = η·m_t, M_k = Σ_{t≥k} m_t and V_k = Σ_{t≥k} m_t²·g_t², starting the analysis at update k:

    Ω_k(η) = D²/(2ηM_k) + (η/2)·[V_k/M_k + Σ_{j=k}^{T−2} m_j·V_j/(M_{j+1}·M_j)]

For k = 0 this is theorem 10 of Defazio et al. 2023 (arXiv 2310.07831), as Schaipp et al. 2025
(arXiv 2501.18965) use it; bounded iterates allow any other start. It bounds the last iterate of
every schedule, also of one that does not anneal: there it grows with log T.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule
from robustlr.schedules.base import FloatArray
from robustlr.theory.bound import Bound
from robustlr.theory.continuous import require_pure, shape_integrals

_MOST_STEPS = 10**8  # each is a number in several arrays


def discrete_bound(
    schedule: AnySchedule, num_steps: int, *, gradient_norms: ArrayLike | None = None
) -> Bound:
    """B(η) = min_k Ω_k(η) of the last iterate after `num_steps` updates.

    gradient_norms: g_t in units of G, shape [num_steps]; absent: all 1.
    `exponent` is the continuous limit's: at a finite T every R(ρ) ends in a slope of 1, once
    the analysis starts at the last update.

    Raises SpecError for a schedule with feedback, or norms that do not fit.

    >>> from robustlr.schedules import Polynomial
    >>> round(discrete_bound(Polynomial(), 100_000).best, 3)
    2.0
    """
    if not 1 <= num_steps <= _MOST_STEPS:
        raise SpecError(
            f"num_steps must be at least 1 and at most {_MOST_STEPS}, got {num_steps}; the limit "
            "of many updates needs none"
        )
    integrals = shape_integrals(schedule, num_steps=num_steps)
    multipliers = require_pure(schedule).multiplier(np.arange(num_steps), num_steps)
    a, b = restart_terms(multipliers, _norms(gradient_norms, num_steps))
    return Bound(
        label=schedule.label,
        iterate="last",
        exponent=1.0 / (2.0 * integrals.order + 1.0),
        a=num_steps * a,
        b=b,
    )


def restart_terms(multipliers: FloatArray, norms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """1/M_k and the bracket of Ω_k for every start k with M_k > 0, in O(T).

    multipliers: m_t, not all zero; norms: g_t; both of shape [T].
    """
    last = int(np.flatnonzero(multipliers > 0)[-1]) + 1  # updates of size zero change nothing
    m, squares = multipliers[:last], (multipliers[:last] * norms[:last]) ** 2
    M, V = _tail_sums(m), _tail_sums(squares)
    inner = np.append(m[:-1] * V[:-1] / (M[1:] * M[:-1]), 0.0)
    return 1.0 / M, V / M + _tail_sums(inner)


def _tail_sums(values: FloatArray) -> FloatArray:
    return np.cumsum(values[::-1])[::-1]


def _norms(gradient_norms: ArrayLike | None, num_steps: int) -> FloatArray:
    if gradient_norms is None:
        return np.ones(num_steps)
    norms = np.asarray(gradient_norms, dtype=np.float64)
    if norms.shape != (num_steps,):
        raise SpecError(f"gradient_norms must have shape ({num_steps},), got {norms.shape}")
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise SpecError("gradient_norms must be positive and finite")
    return norms
