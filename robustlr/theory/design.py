"""Design: the schedule to train with when the learning rate is only known within a factor.

What "within a factor R" means: the peak learning rate is chosen once, and the best one lies
anywhere in a range whose ends are R apart. Every schedule may place the range where it hurts it
least (too large costs less than too small), so a shape is judged by

    W(h) = min_c max_{c ≤ η ≤ cR} B_h(η),

which is also what the best point of a grid of ratio R pays at its worst offset. B is the bound of
the last iterate in the continuous limit (`robustlr.theory.continuous`), and the minimiser is
that of `robustlr.theory.minimax`: about an exponential that visits every learning rate of the
range for equally long, then a fall, then a linear end.

This is a statement about the bound, for projected SGD on convex objectives. It starts up to R times
above the best learning rate: where the iterates are not bounded, that diverges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustlr.errors import SpecError
from robustlr.schedules import WSD, AnySchedule, Cosine, Polynomial, Tabulated
from robustlr.theory.bound import MOST_RATIO
from robustlr.theory.continuous import continuous_bound
from robustlr.theory.minimax import minimax_shape

_FALL = 2e-6  # of the horizon: a table cannot jump
_RIVALS: tuple[AnySchedule, ...] = (Polynomial(), Cosine(), Polynomial(degree=2), WSD())


@dataclass(frozen=True, slots=True)
class WorstCase:
    """A schedule judged by W.

    worst: W in units of DG/√T. excess: W over the least of any shape, minus 1.
    peak_lr: where to put the peak learning rate, in units of the largest one that could be
    the linear schedule's best.
    """

    schedule: AnySchedule
    worst: float
    excess: float
    peak_lr: float


@dataclass(frozen=True, slots=True)
class Design:
    """The designed schedule for `rho`, and its rivals with the same freedom, best first."""

    rho: float
    schedule: Tabulated
    designed: WorstCase
    rivals: tuple[WorstCase, ...]


def design(rho: float, *, rivals: Sequence[AnySchedule] = _RIVALS) -> Design:
    """The best shape when the learning rate is known within a range of ratio `rho` ≥ 1.

    rivals: annealed schedules to compare it with. Raises SpecError for a `rho` below 1, or
    a rival whose last iterate has no bound.

    >>> ten = design(10.0)
    >>> ten.schedule.label, round(ten.designed.worst, 2)
    ('designed-10', 2.47)
    >>> [(rival.schedule.label, round(rival.worst, 2)) for rival in ten.rivals[:2]]
    [('polynomial:degree=2', 2.81), ('cosine', 2.94)]
    """
    schedule = designed_schedule(rho)
    judged = [worst_case(rival, rho) for rival in rivals]
    return Design(
        rho=rho,
        schedule=schedule,
        designed=worst_case(schedule, rho),
        rivals=tuple(sorted(judged, key=lambda case: case.worst)),
    )


def worst_case(schedule: AnySchedule, rho: float) -> WorstCase:
    """W of any annealed schedule. Raises SpecError where the last iterate has no bound."""
    bound = continuous_bound(schedule)
    if bound.iterate != "last":
        raise SpecError(
            f"schedule '{schedule.label}' does not anneal to zero: its last iterate has no bound"
        )
    # The best learning rate of linear is D/(G√T), the unit here. With that anywhere in [S, ρS],
    # a peak of low·ρS is between low and low·ρ in units of the truth.
    worst, low = bound.worst_within(rho)
    return WorstCase(schedule, worst, worst / minimax_shape(rho).worst - 1.0, low)


def designed_schedule(rho: float) -> Tabulated:
    """The minimiser as a table to train with. Raises SpecError for a `rho` below 1 or too large."""
    if not 1.0 <= rho <= MOST_RATIO:
        raise SpecError(
            f"rho must be a factor of at least 1 and at most {MOST_RATIO:g}, got {rho:g}"
        )
    shape = minimax_shape(rho)
    fractions = [round(float(fraction), 6) for fraction in shape.time]
    if len(fractions) > 2:
        fractions[-2] += _FALL
    # a piece shorter than the rounding vanishes (rho just above the golden ratio)
    kept = [i for i, fraction in enumerate(fractions) if i == 0 or fraction > fractions[i - 1]]
    return Tabulated(
        fractions=tuple(round(fractions[i], 6) for i in kept),
        multipliers=tuple(float(f"{shape.multiplier[i]:.6g}") for i in kept),
        name=f"designed-{rho:g}",
    )
