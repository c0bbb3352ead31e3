"""Processes of the command line at work on one study, as on several machines."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import polars as pl
from sqlalchemy import NullPool

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from robustlr.study import open_queue, with_storage
from robustlr.study.queue import CellQueue
from tests.small_study import write_study

SECONDS = 180.0
SLOW = """
import time
from robustlr.workloads.logistic import Logistic

def make():
    return Slow(dim=3, samples=60)

class Slow(Logistic):
    def model(self, seed):
        time.sleep(0.4)
        return super().model(seed)
"""


def slow_study(folder: Path, **fields: object) -> Path:
    """A study whose cells take half a second; its workers beat twice a second."""
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    more = "[execution]\nheartbeat_seconds = 0.5\nmax_retries = 1000"
    values = {"workload": 'factory = "slow:make"', "more": more} | fields
    return write_study(folder, **values)


def start(
    command: str, study: Path, out: Path | str, storage: str, *more: str, cwd: Path | None = None
) -> subprocess.Popen[str]:
    """`robustlr study COMMAND` in a process of its own."""
    arguments = [command, str(study), "--out", str(out), "--storage", storage, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "robustlr_cli.app", "study", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd or study.parent,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it said, once it has ended well."""
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    return said


def queue_of(study: Path, out: Path, storage: str) -> CellQueue:
    return open_queue(with_storage(load_study(study), storage), RunPaths(out))


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def completed(storage: str) -> Counter[str]:
    """How often each cell was told as complete."""
    rdb = optuna.storages.RDBStorage(
        storage.replace("://", "+psycopg://", 1), engine_kwargs={"poolclass": NullPool}
    )
    study = optuna.load_study(study_name="small", storage=rdb)
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return Counter(str(trial.user_attrs["cell"]) for trial in done)


def table(study: Path, out: Path) -> pl.DataFrame:
    """The runs, but for the time they took."""
    results = load_results(RunPaths(out), load_study(study))
    assert not results.missing
    assert not results.failed
    return results.runs.drop("wall_seconds")
