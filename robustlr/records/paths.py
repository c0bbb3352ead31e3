"""Where a study keeps what: the only file that spells a path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from robustlr.errors import StorageError


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one study under `root`, such as runs/digits."""

    root: Path

    @property
    def spec(self) -> Path:
        """The spec the study was last run with, as JSON."""
        return self.root / "spec.json"

    @property
    def token(self) -> Path:
        """Tells this folder from any other: see `robustlr.study.sharing`."""
        return self.root / "folder.id"

    @property
    def journal(self) -> Path:
        """Optuna's JournalStorage: the queue of cells."""
        return self.root / "journal.log"

    @property
    def cells(self) -> Path:
        """One Parquet file per finished cell."""
        return self.root / "cells"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def locks(self) -> Path:
        """Lock files whose holders are the living processes of the study."""
        return self.root / "locks"

    @property
    def checkpoints(self) -> Path:
        """Where cells that were put aside go on from; gone once a cell has its result."""
        return self.root / "checkpoints"

    @property
    def report(self) -> Path:
        return self.root / "report"

    def cell(self, key: str) -> Path:
        return self.cells / f"{key}.parquet"

    def checkpoint(self, key: str) -> Path:
        return self.checkpoints / f"{key}.safetensors"

    def tracker(self, name: str, key: str) -> Path:
        """What trackers keep of a cell; `name` is for people."""
        plain = re.sub(r"[^\w.=,-]+", "-", name)[:120]
        return self.root / "trackers" / f"{plain}-{key[:8]}"

    def cell_log(self, key: str) -> Path:
        return self.logs / f"cell-{key}.log"

    def worker_log(self, worker: str) -> Path:
        return self.logs / f"worker-{worker}.log"

    @property
    def run_lock(self) -> Path:
        """Held by the one `study run` that drives the study."""
        return self.locks / "run.lock"

    def worker_lock(self, worker: str) -> Path:
        return self.locks / f"worker-{worker}.lock"

    @property
    def cluster(self) -> Path:
        """What a cluster's scheduler was given, and the logs of its jobs."""
        return self.root / "cluster"

    @property
    def jobs(self) -> Path:
        """Ids of the jobs that were submitted for the study."""
        return self.cluster / "jobs.json"

    def create(self) -> None:
        """Make the folders. Raises StorageError where that is not allowed or possible."""
        for folder in (self.root, self.cells, self.checkpoints, self.logs, self.locks):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(
                    f"{folder}: cannot be made: {error.strerror}; choose another with --out"
                ) from error
        if not os.access(self.root, os.W_OK):
            raise StorageError(f"{self.root}: no permission to write; choose another with --out")
