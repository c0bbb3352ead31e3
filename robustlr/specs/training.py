"""How a cell is trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from robustlr.errors import SpecError

_ALWAYS_NAMED = (
    "eval_every", "log_every", "accumulation_steps", "precision", "clip_norm",
    "processes_per_cell",
)  # fmt: skip


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

    def identity(self) -> dict[str, Any]:
        """The options as they take part in a cell's key.

        Those that came after the first results count only where they differ from their default,
        so that results of before keep their keys.
        """
        return {
            option.name: value
            for option in dataclasses.fields(self)
            if (value := getattr(self, option.name)) != option.default
            or option.name in _ALWAYS_NAMED
        }
