"""Bounds in the continuous limit of many updates, for the shape of any pure schedule.

Last iterate of projected SGD on a convex objective, for a shape h that anneals to zero:

    B(η) = inf_τ  D²/(2ηT·H(τ)) + (ηG²/2)·Q(τ),    τ in [0, 1)

(H and Q: `robustlr.theory.integrals`.) The infimum over τ is what makes annealing robust: with
a learning rate too large by ρ the analysis starts where h has come down far enough. A shape
that ends as s^p pays ρ^(1/(2p+1)): Attia & Koren 2025, arXiv 2503.09411, for polynomials and
cosine (p = 2). On the other side, η*/ρ, every schedule pays (ρ + 1/ρ)/2.

A shape that ends above zero (fixed, inverse_sqrt, a cosine with a floor) has no such bound: that
of its last iterate grows with log T (see `robustlr.theory.discrete`). What is bounded then is
the average of all iterates, weighted by their learning rates,

    B(η) = D²/(2ηT·H(0)) + (ηG²/2)·∫h²/H(0),

which pays (ρ + 1/ρ)/2 on both sides, because an average forgets nothing.
"""

from __future__ import annotations

import numpy as np

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule, Schedule
from robustlr.schedules.base import FloatArray, Lifted
from robustlr.theory.bound import Bound
from robustlr.theory.integrals import SMALLEST, Integrals, integrate

# Long enough that a multiplier of whole steps (a warmup's) is its limit to one part in a
# million; a power of two, so that fractions of it are exact.
HORIZON = 2**20
_STARTS = 16_001


def shape_integrals(schedule: AnySchedule, *, num_steps: int = HORIZON) -> Integrals:
    """H and Q of a pure schedule.

    num_steps: only matters for a shape that depends on the number of updates, as inverse_sqrt.
    Raises SpecError for a schedule that needs feedback, or is not a shape at all.
    """
    pure = require_pure(schedule)

    def shape(u: FloatArray) -> FloatArray:
        return pure.multiplier(u * num_steps, num_steps)

    try:
        return integrate(shape)
    except SpecError as error:
        raise SpecError(f"schedule '{schedule.label}': {error}") from error


def continuous_bound(schedule: AnySchedule, *, num_steps: int = HORIZON) -> Bound:
    """B(η) in the limit of many updates: of the last iterate, or where that has none, the average.

    >>> from robustlr.schedules import Polynomial
    >>> linear = continuous_bound(Polynomial())
    >>> round(linear.best, 6), round(float(linear.ratio(100.0)), 4), round(linear.exponent, 6)
    (2.0, 4.386, 0.333333)
    """
    integrals = shape_integrals(schedule, num_steps=num_steps)
    if not integrals.annealed:
        total = integrals.H(0.0)
        return Bound(
            label=schedule.label,
            iterate="average",
            exponent=1.0,
            a=np.atleast_1d(1.0 / total),
            b=np.atleast_1d(integrals.square / total),
        )
    fine = SMALLEST ** np.linspace(0.0, 1.0, _STARTS)
    # geometric towards the end, where large learning rates restart, and towards the beginning
    tau = np.unique(np.concatenate([integrals.end * (1.0 - fine), integrals.end * fine[1000:]]))
    H, Q = integrals.H(tau), integrals.Q(tau)
    moving = (H > 0) & (Q > 0)
    return Bound(
        label=schedule.label,
        iterate="last",
        exponent=1.0 / (2.0 * integrals.order + 1.0),
        a=1.0 / H[moving],
        b=Q[moving],
        position=tau[moving],
    )


def require_pure(schedule: AnySchedule) -> Schedule:
    """Raise SpecError unless the schedule is a shape: feedback has no bound in advance."""
    # a warmup around a feedback schedule is a Schedule in name, and lifts to what it wraps
    if isinstance(schedule, Schedule) and isinstance(schedule.lifted(), Lifted):
        return schedule
    raise SpecError(
        f"schedule '{schedule.label}' needs feedback from training: "
        "the theory covers pure schedules only"
    )
