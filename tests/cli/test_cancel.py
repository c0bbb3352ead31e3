"""`robustlr study cancel` ends what runs here, and the same command goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from robustlr.study import living_workers
from tests.slowly import write_slow_study
from tests.small_study import result_files, write_study

SECONDS = 120.0


def robustlr(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "robustlr_cli.app", "study", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_workers(paths: RunPaths, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while len(living_workers(paths)) < count and time.monotonic() < deadline:
        time.sleep(0.05)


def last_line(process: subprocess.Popen[str]) -> str:
    told = process.communicate(timeout=SECONDS)[1]
    assert "Traceback" not in told
    return told.splitlines()[-1]


@pytest.mark.slow
def test_a_run_and_a_worker_beside_it(tmp_path: Path) -> None:
    study, slow = write_slow_study(tmp_path)
    paths = RunPaths(tmp_path / "runs" / "small")
    with robustlr(tmp_path, "run", "small.toml", "--workers", "1", "--no-report") as run:
        wait_for_workers(paths, 1)
        with robustlr(tmp_path, "worker", "small.toml") as worker:
            wait_for_workers(paths, 2)
            with robustlr(tmp_path, "cancel", "small") as cancel:
                told = last_line(cancel)
            last_line(worker)
        assert told == "small: ended 1 × run here, 1 × worker here"
        assert last_line(run) == "robustlr: was told to end; the same command goes on from here"
        assert run.returncode == 130
    assert living_workers(paths) == []
    assert len(result_files(paths)) < 8
    slow.unlink()
    with robustlr(tmp_path, "run", "small.toml", "--workers", "2", "--no-report") as run:
        assert "8 cells completed" in last_line(run)
    assert load_results(paths, load_study(study)).missing == ()


def test_nothing_to_end(tmp_path: Path) -> None:
    write_study(tmp_path)
    with robustlr(tmp_path, "cancel", "small.toml") as cancel:
        assert last_line(cancel) == "small: nothing is at work on it here"
    assert cancel.returncode == 0
