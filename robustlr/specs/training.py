"""How a cell is trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from robustlr.errors import SpecError
from robustlr.specs.sharding import ShardingSpec

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
    processes_per_cell: ranks that train one cell together (DDP, or FSDP with accelerate_config).
    compile: torch.compile of the training step's model; evaluation and estimates of the curvature
        stay eager. The learning rate is no part of what is compiled.
    gradient_checkpointing: recompute the model's blocks in the backward pass, to save memory.
    ema_decay: δ of an exponential moving average of the weights, θ̄ ← δ·θ̄ + (1 − δ)·θ after every
        update, which evaluation then uses; absent for none.
    channels_last: images and convolutions with the channels innermost in memory.
    accelerate_config: FSDP; in a study file, the name of the YAML file that `accelerate config`
        wrote.
    """

    eval_every: int = 25
    log_every: int = 0
    accumulation_steps: int = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    clip_norm: float | None = None
    processes_per_cell: int = 1
    compile: bool = False
    gradient_checkpointing: bool = False
    ema_decay: float | None = None
    channels_last: bool = False
    accelerate_config: ShardingSpec | None = None

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
        if self.ema_decay is not None and not 0.0 < self.ema_decay < 1.0:
            raise SpecError(f"ema_decay must be between 0 and 1, got {self.ema_decay}")
        if self.accelerate_config is not None:
            self._check_sharding()

    def identity(self) -> dict[str, Any]:
        """The options as they take part in a cell's key.

        Those that came after the first results count only where they differ from their default,
        so that results of before keep their keys.
        """
        table = dataclasses.asdict(self)
        return {
            option.name: table[option.name]
            for option in dataclasses.fields(self)
            if table[option.name] != option.default or option.name in _ALWAYS_NAMED
        }

    def _check_sharding(self) -> None:
        """What FSDP cannot be combined with."""
        if self.processes_per_cell == 1:
            raise SpecError("accelerate_config (FSDP) needs processes_per_cell of 2 or more, got 1")
        if self.precision == "fp16":
            raise SpecError(
                "accelerate_config (FSDP) does not go with precision = 'fp16': use bf16"
            )
        for name in ("compile", "channels_last"):
            if getattr(self, name):
                raise SpecError(f"accelerate_config (FSDP) does not go with {name} = true")
