"""What one training run left behind: its outcome is a value, not an exception."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from robustlr.specs import Cell
from robustlr.validation import parse_table


class RunStatus(StrEnum):
    """How a run ended. Divergence is data; only FAILED is run again."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFacts:
    """What is known of a workload without training it.

    chance_loss: validation loss of a model that knows nothing; where diverged runs are clipped.
    optimum_loss: the least attainable validation loss, where known (convex workloads).
    metric: name of the headline metric, lower is better ("error", "perplexity").
    """

    chance_loss: float
    optimum_loss: float | None = None
    metric: str = "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Numbers of one run; losses and metrics are None where they were never finite.

    valid_loss .. test_metric: after the last update. best_*: at the best validation loss seen.
    initial_*: before the first update. steps: updates made. *_passes: cost in example passes
    (one forward and backward over one example = 1), training, curvature and evaluation apart.
    """

    valid_loss: float | None = None
    test_loss: float | None = None
    valid_metric: float | None = None
    test_metric: float | None = None
    best_valid_loss: float | None = None
    best_test_loss: float | None = None
    initial_valid_loss: float | None = None
    initial_test_loss: float | None = None
    steps: int = 0
    example_passes: float = 0.0
    curvature_passes: float = 0.0
    evaluation_passes: float = 0.0
    wall_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A cell and what became of it.

    outcome: facts the schedule reports (when its warmup ended, say). reason: why it FAILED.
    provenance: versions, device, git commit, hash of the workload's code.
    """

    cell: Cell
    status: RunStatus
    summary: RunSummary = field(default_factory=RunSummary)
    facts: WorkloadFacts | None = None
    outcome: Mapping[str, int | float | str | None] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def value(self) -> float:
        """Final validation loss, clipped to the loss at chance: what Optuna is told."""
        chance = self.facts.chance_loss if self.facts else math.inf
        loss = self.summary.valid_loss
        if self.status is not RunStatus.COMPLETED or loss is None:
            return chance
        return min(loss, chance)

    def table(self) -> dict[str, Any]:
        """JSON-ready; `from_table` is the inverse."""
        return {
            "cell": self.cell.table(),
            "status": str(self.status),
            "summary": dataclasses.asdict(self.summary),
            "facts": None if self.facts is None else dataclasses.asdict(self.facts),
            "outcome": dict(self.outcome),
            "provenance": dict(self.provenance),
            "reason": self.reason,
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> RunRecord:
        """Raises SpecError where the table is not a record's."""
        return parse_table(cls, table, where="record")
