"""What a report compares and shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robustlr.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSpec:
    """What the report compares; none of it changes a cell.

    baseline: label of the schedule the others are compared with.
    epsilon: tolerated loss, as a share of the range between chance and the best.
    target: validation loss for time to target; absent: the baseline's tuned final loss.
    pictures: which the report shows of every setting, by name; absent: all there are.
    remarks: paragraphs that the study's author adds to the report, on what the runs showed.
    """

    baseline: str = "fixed"
    epsilon: float = 0.01
    target: float | None = None
    pictures: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.epsilon < 1.0:
            raise SpecError(f"epsilon must be in (0, 1), got {self.epsilon}")
        if self.target is not None and not math.isfinite(self.target):
            raise SpecError(f"target must be a finite loss, got {self.target}")
