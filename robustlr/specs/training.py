"""How a cell is trained, how cells are executed, and what a report compares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from robustlr.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """Options of the training loop; every one of them is part of a cell's identity.

    eval_every: updates between evaluations (validation and test), the cadence of the curves.
    log_every: updates between the curves' rows without evaluation; 0 means at evaluations only.
    accumulation_steps: micro-batches per update; the batch size stays the spec's.
    precision: "fp32", "bf16" or "fp16" (mixed, through Accelerate).
    clip_norm: largest global gradient norm, or absent for none.
    processes_per_cell: ranks that train one cell together (DDP).
    """

    eval_every: int = 25
    log_every: int = 0
    accumulation_steps: int = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    clip_norm: float | None = None
    processes_per_cell: int = 1

    def __post_init__(self) -> None:
        for name in ("eval_every", "accumulation_steps", "processes_per_cell"):
            value = getattr(self, name)
            if value < 1:
                raise SpecError(f"{name} must be at least 1, got {value}")
        if self.log_every < 0:
            raise SpecError(f"log_every must be 0 or more, got {self.log_every}")
        if self.clip_norm is not None and not (
            math.isfinite(self.clip_norm) and self.clip_norm > 0
        ):
            raise SpecError(f"clip_norm must be a positive number, got {self.clip_norm}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSpec:
    """Where cells run; none of it changes a result.

    threads_per_cell: CPU threads of a worker. max_retries: further attempts at a cell whose
    worker died. timeout_seconds: a multi-process cell that takes longer is ended and has failed.
    """

    threads_per_cell: int = 1
    max_retries: int = 2
    timeout_seconds: float = 24 * 3600.0

    def __post_init__(self) -> None:
        if self.threads_per_cell < 1:
            raise SpecError(f"threads_per_cell must be at least 1, got {self.threads_per_cell}")
        if self.max_retries < 0:
            raise SpecError(f"max_retries must be 0 or more, got {self.max_retries}")
        if not self.timeout_seconds > 0:
            raise SpecError(f"timeout_seconds must be positive, got {self.timeout_seconds}")


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
