"""Where and how cells are executed."""

from __future__ import annotations

from dataclasses import dataclass, field

from robustlr.errors import SpecError, did_you_mean
from robustlr.specs.address import check_results, check_storage, without_password
from robustlr.specs.slurm import SlurmSpec

_LONGEST = {"timeout_seconds": 365 * 24 * 3600.0, "heartbeat_seconds": 3600.0}
_TRACKERS = (
    "aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSpec:
    """Where cells run; none of it changes a result.

    threads_per_cell: CPU threads of a worker. cells_per_gpu: small models that share a GPU, each
    in a worker of its own. max_retries: further attempts at a cell whose worker or group of
    processes died. checkpoint_every: updates between the checkpoints of a cell, from which a
    further attempt goes on; 0: only when its worker is told to stop. timeout_seconds: a
    multi-process cell that makes no update for longer is ended, and tried again.
    trackers: those of Accelerate that are told of every row of the curves ("tensorboard", "wandb").
    storage: the queue, "postgresql://user@host/database"; none: a journal file in the study's
    folder, for one machine. results: an address where results are kept for all machines,
    "s3://bucket/study", without a password; none: the study's folder, which they then share.
    heartbeat_seconds: how often a worker says that it lives; after six heartbeats without a word
    its cell is another's.
    slurm: what to ask of a cluster.
    """

    threads_per_cell: int = 1
    cells_per_gpu: int = 1
    max_retries: int = 2
    checkpoint_every: int = 0
    trackers: tuple[str, ...] = ()
    timeout_seconds: float = 24 * 3600.0
    storage: str = field(default="", repr=False)  # may hold a password
    results: str = field(default="", repr=False)
    heartbeat_seconds: float = 10.0
    slurm: SlurmSpec = field(default_factory=SlurmSpec)

    def __post_init__(self) -> None:
        for name in ("threads_per_cell", "cells_per_gpu"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_retries < 0:
            raise SpecError(f"max_retries must be 0 or more, got {self.max_retries}")
        if self.checkpoint_every < 0:
            raise SpecError(f"checkpoint_every must be 0 or more, got {self.checkpoint_every}")
        for tracker in self.trackers:
            if tracker not in _TRACKERS:
                hint = did_you_mean(tracker, _TRACKERS)
                raise SpecError(f"trackers: unknown tracker '{tracker}'; {hint}")
        for name, longest in _LONGEST.items():
            if not 0 < getattr(self, name) <= longest:
                raise SpecError(
                    f"{name} must be positive and at most {longest:.0f}, got {getattr(self, name)}"
                )
        check_storage(self.storage)
        check_results(self.results)

    def public_storage(self) -> str:
        """The storage as it may be written down."""
        return without_password(self.storage)
