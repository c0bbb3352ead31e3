"""Processes of the command line at work on one study, as on several machines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import optuna
import polars as pl
from sqlalchemy import NullPool

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from robustlr.study import open_queue, with_storage
from robustlr.study.queue import CellQueue
from tests.slowly import write_slow_study

SECONDS = 180.0


def slow_study(folder: Path, **fields: object) -> tuple[Path, Path]:
    """(A study of 16 cells, the file that makes each of them take minutes while it is there)."""
    more = "[execution]\nheartbeat_seconds = 1.0\nmax_retries = 1000"
    return write_slow_study(folder, **{"seeds": 4, "num_steps": 600, "more": more} | fields)


def start(
    command: str,
    study: Path,
    out: Path | str,
    storage: str,
    *more: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """`robustlr study COMMAND` in a process of its own. environment: beside ours."""
    arguments = [command, str(study), "--out", str(out), "--storage", storage, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "robustlr_cli.app", "study", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd or study.parent,
        env={**os.environ, **environment},
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


def told(storage: str, state: optuna.trial.TrialState) -> Counter[str]:
    """How often each cell was told to have ended in this state."""
    rdb = optuna.storages.RDBStorage(
        storage.replace("://", "+psycopg://", 1), engine_kwargs={"poolclass": NullPool}
    )
    study = optuna.load_study(study_name="small", storage=rdb)
    return Counter(str(trial.user_attrs["cell"]) for trial in study.get_trials(states=(state,)))


def completed(storage: str) -> Counter[str]:
    """How often each cell was told as complete."""
    return told(storage, optuna.trial.TrialState.COMPLETE)


def table(study: Path, out: Path) -> pl.DataFrame:
    """The runs, but for the time they took."""
    results = load_results(RunPaths(out), load_study(study))
    assert not results.missing
    assert not results.failed
    return results.runs.drop("wall_seconds")
