"""What a study asks of a SLURM cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from robustlr.errors import SpecError

_OURS = (
    "array", "chdir", "error", "nodes", "ntasks", "open-mode", "output", "parsable", "signal",
    "wait", "wrap",
)  # fmt: skip
_LONGEST_GRACE = 65535  # what sbatch takes


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmSpec:
    """The `[execution.slurm]` table: an array of `workers` jobs, each of which takes cells.

    partition, time: as sbatch spells them ("2:00:00", "1-0"; minutes as a number); absent, the
    cluster's defaults. gpus_per_worker: 0, or the GPUs of a cell (training.processes_per_cell).
    cpus_per_worker: 0 for the threads of its cells. grace_seconds: how long before the time limit
    a worker puts its cell aside, with a checkpoint, and its job is queued again. setup: lines of
    shell in front, such as "module load cuda". extra: any further option of sbatch, by its long
    name: {account = "lab", mem = "8G", exclusive = true}; GPUs only to say their type.
    """

    workers: int = 1
    partition: str = ""
    time: str | int = ""
    gpus_per_worker: int = 0
    cpus_per_worker: int = 0
    grace_seconds: int = 120
    setup: tuple[str, ...] = ()
    extra: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (
            ("workers", 1), ("gpus_per_worker", 0), ("cpus_per_worker", 0), ("grace_seconds", 1)
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise SpecError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.grace_seconds > _LONGEST_GRACE:
            raise SpecError(
                f"grace_seconds must be at most {_LONGEST_GRACE}, got {self.grace_seconds}"
            )
        for text in (self.partition, str(self.time), *map(str, self.extra.values())):
            if "\n" in text:
                raise SpecError(f"an option of sbatch must be one line, got {text!r}")
        for option, value in self.extra.items():
            if option.strip("-") in _OURS:
                raise SpecError(f"extra.{option}: robustlr sets this option of sbatch itself")
            if not option.replace("-", "").isalnum() or option.startswith("-"):
                raise SpecError(
                    f"extra names options of sbatch as in 'mem-per-cpu', got '{option}'"
                )
            if why := self._why_no_gpus(option, str(value)):
                raise SpecError(f"extra.{option}: {why}")
            if value is False:
                raise SpecError(f"extra.{option}: true for an option without a value, or leave out")

    def _why_no_gpus(self, option: str, value: str) -> str:
        """What is wrong with asking for GPUs by this option, if anything: workers would not see
        them, or one cell would see several."""
        asks = option.startswith("gpus") or (option.startswith(("gres", "tres")) and "gpu" in value)
        one_type = re.fullmatch(r"gpu:([^:,]*[^:,\d][^:,]*:)?(?P<count>\d+)", value)
        if not asks or (
            option == "gres"
            and self.gpus_per_worker
            and one_type is not None
            and int(one_type["count"]) == self.gpus_per_worker
        ):
            return ""
        return (
            "ask for GPUs with gpus_per_worker, which also lets the workers see them; beside it "
            "gres may name their type, as in gpus_per_worker = 1, extra = {gres = 'gpu:a100:1'}"
        )
