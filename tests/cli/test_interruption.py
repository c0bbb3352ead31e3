"""Ctrl-C, kill -9 and a full disk, as they happen to a user: the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil
import pytest

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from tests.small_study import result_files, write_study

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "robustlr_cli.app", "study", "run", "--workers", "2"]
SECONDS = 120.0


def start(study: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, str(study), "--out", str(out), "--no-report"],
        cwd=study.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(study: Path, out: Path) -> tuple[int, str]:
    """Run the command to its end; exit code and what it told the user."""
    process = start(study, out)
    _, told = process.communicate(timeout=SECONDS)
    return process.returncode, told


def wait_for_cells(paths: RunPaths, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while len(result_files(paths)) < count and time.monotonic() < deadline:
        time.sleep(0.02)


def table(paths: RunPaths, study: Path) -> pl.DataFrame:
    results = load_results(paths, load_study(study))
    assert not results.missing
    return results.runs.drop("wall_seconds")


def test_ctrl_c_and_kill_9_of_the_whole_tree(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=10, num_steps=800)
    undisturbed, disturbed = RunPaths(tmp_path / "a"), RunPaths(tmp_path / "b")
    assert finish(study, undisturbed.root)[0] == 0

    run = start(study, disturbed.root)
    wait_for_cells(disturbed, 3)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=SECONDS)
    assert run.returncode == 130
    assert told.splitlines()[-1] == "robustlr: interrupted; the same command goes on from here"
    assert "Traceback" not in told
    after_interrupt = result_files(disturbed)
    assert 3 <= len(after_interrupt) < 40

    run = start(study, disturbed.root)
    wait_for_cells(disturbed, len(after_interrupt) + 3)
    for process in [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # the workers also end by themselves
            process.kill()
    run.communicate()
    stamps = {path: path.stat().st_mtime_ns for path in disturbed.cells.glob("*.parquet")}
    assert len(stamps) < 40

    assert finish(study, disturbed.root)[0] == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert table(disturbed, study).equals(table(undisturbed, study))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs the right to")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_one_line_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=10)
    out = small_disk / "run"
    code, told = finish(study, out)
    assert code == 1
    assert "No space left on device; nothing already computed is lost" in told.splitlines()[-1]
    assert "Traceback" not in told
    kept = {path: path.stat().st_mtime_ns for path in RunPaths(out).cells.glob("*.parquet")}
    assert 0 < len(kept) < 40

    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert finish(study, out)[0] == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    assert len(table(RunPaths(out), study)) == 40
