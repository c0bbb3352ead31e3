"""What the theory predicts for the schedules of a study, feedback schedules among them."""

from __future__ import annotations

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule, parse
from robustlr.theory.bound import Bound
from robustlr.theory.continuous import continuous_bound, require_pure
from robustlr.theory.discrete import discrete_bound


def predicted(schedule: AnySchedule | str, *, num_steps: int | None = None) -> Bound | None:
    """The bound of a schedule or its shorthand; None for one that needs feedback.

    num_steps: T, for the sum over updates; absent: the limit of many updates.

    >>> from robustlr.theory import predicted
    >>> predicted("cosine").ratio([0.5, 1.0, 100.0]).round(2)
    array([1.25, 1.  , 2.81])
    >>> predicted("curvature_adaptive") is None
    True
    """
    parsed = parse(schedule)
    try:
        require_pure(parsed)
    except SpecError:
        return None
    return continuous_bound(parsed) if num_steps is None else discrete_bound(parsed, num_steps)
