"""Workers that are told to stop, killed or out of memory in the middle of a cell."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from robustlr.execution import Drive
from robustlr.records import RunPaths, load_results
from robustlr.specs import StudySpec
from robustlr.study import open_queue, plan, prepare
from robustlr_cli.app import main
from tests.execution.slow_cells import FOLDER, RANK, leave_faults
from tests.small_study import small_spec

pytestmark = pytest.mark.slow

SECONDS = 120.0


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(RANK, "0")
    monkeypatch.setenv("PYTHONPATH", os.getcwd(), prepend=":")
    return RunPaths(tmp_path / "run")


def study(workload: str, *, processes: int = 1, **execution: object) -> StudySpec:
    """Two cells of 40 slow updates; of two processes, one."""
    return small_spec(
        workload={"factory": f"tests.execution.slow_cells:{workload}", "label": "slow"},
        schedule=["fixed"],
        grid={"low": 0.1, "high": 0.1},
        seeds=2 if processes == 1 else 1,
        num_steps=40,
        training={"eval_every": 10, "processes_per_cell": processes},
        execution=execution,
    )


def drive(spec: StudySpec, paths: RunPaths) -> None:
    Drive(spec=spec, paths=paths, workers=1).run(lambda _: None)


Table = tuple[pl.DataFrame, pl.DataFrame]


def table(spec: StudySpec, paths: RunPaths) -> Table:
    """All of a study's results but the time they took, and the keys: other faults, other cells."""
    results = load_results(paths, spec)
    assert results.missing == results.failed == ()
    return (
        results.runs.drop("wall_seconds", "key", strict=False),
        results.curves.drop("wall_seconds", "key", strict=False),
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """What becomes of the study when nothing befalls it."""
    here = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(here))
        patch.setenv("PYTHONPATH", os.getcwd(), prepend=":")
        drive(study("Slow"), RunPaths(here / "run"))
    return table(study("Slow"), RunPaths(here / "run"))


def assert_same(spec: StudySpec, paths: RunPaths, undisturbed: Table) -> None:
    for mine, theirs in zip(table(spec, paths), undisturbed, strict=True):
        assert mine.equals(theirs)


@contextmanager
def worker_of(paths: RunPaths) -> Iterator[subprocess.Popen[bytes]]:
    """A worker; its standard input, which it would end with, stays open until it is waited for."""
    with (
        open(paths.worker_log("0"), "wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "robustlr.execution.worker", str(paths.root), "0"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as worker,
    ):
        yield worker
        worker.wait(timeout=SECONDS)


@pytest.mark.parametrize("processes", [1, 2])
def test_told_to_stop_it_ends_at_once_and_its_cell_goes_on(
    paths: RunPaths, tmp_path: Path, undisturbed: Table, processes: int
) -> None:
    spec = study("Slow", processes=processes)
    prepare(spec, paths)
    first, *others = spec.cells()
    slow = tmp_path / "slow"
    slow.touch()
    with worker_of(paths) as worker:
        wait_for(tmp_path / "updates-0")
        worker.send_signal(signal.SIGTERM)
        told = time.monotonic()
    assert time.monotonic() - told < 30.0  # the cell has 35 s to go
    slow.unlink()
    said = paths.worker_log("0").read_text()
    assert worker.returncode == 0, said
    assert f"cell {first.key}: stopped after update " in said
    assert [path.stem for path in paths.checkpoints.iterdir()] == [first.key]
    assert open_queue(spec, paths).waiting() == {first.key, *(cell.key for cell in others)}

    with worker_of(paths) as worker:
        pass
    said = paths.worker_log("0").read_text()
    assert worker.returncode == 0, said
    assert f"cell {first.key}: goes on from update " in said
    assert not list(paths.checkpoints.iterdir())
    if processes == 1:
        assert_same(spec, paths, undisturbed)


def test_a_killed_worker_s_cell_goes_on_from_its_checkpoint(
    paths: RunPaths, undisturbed: Table
) -> None:
    spec = study("Killed", checkpoint_every=3)
    leave_faults(1)
    drive(spec, paths)
    first, _ = spec.cells()
    said = paths.worker_log("0").read_text()
    assert f"cell {first.key}: goes on from update 6" in said  # it was killed in its 8th
    assert_same(spec, paths, undisturbed)


def test_a_damaged_checkpoint_costs_a_beginning(paths: RunPaths, undisturbed: Table) -> None:
    spec = study("Slow")
    prepare(spec, paths)
    first, _ = spec.cells()
    checkpoint = paths.checkpoint(first.key)
    checkpoint.write_bytes(b"half of a checkpoint")
    drive(spec, paths)
    said = paths.worker_log("0").read_text()
    assert f"{checkpoint}: is damaged, or no checkpoint; the cell starts anew" in said
    assert_same(spec, paths, undisturbed)


def test_a_group_that_always_dies_fails_its_cell_and_the_worker_goes_on(
    paths: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = study("Killed", processes=2, max_retries=1)
    spec = dataclasses.replace(spec, seeds=(0, 1))
    leave_faults(2)
    drive(spec, paths)
    (failed,) = plan(spec, paths).failed
    assert failed.cell.seed == 0
    assert len(plan(spec, paths).done) == 1
    assert main(["study", "status", str(paths.root), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["failures"]
    assert told["key"] == failed.cell.key
    reason = "its group of 2 processes ended: rank 0 killed by signal 9, 2 times"
    assert told["reason"] == failed.reason == reason


def test_out_of_memory_fails_the_cell_by_name_and_the_worker_goes_on(paths: RunPaths) -> None:
    spec = study("OutOfMemory")
    leave_faults(1)
    drive(spec, paths)
    (failed,) = plan(spec, paths).failed
    assert failed.reason.startswith("ran out of memory: ")
    assert failed.reason.endswith("a smaller batch, or more accumulation_steps, needs less")
    assert len(plan(spec, paths).done) == 1
    assert "Traceback" in paths.worker_log("0").read_text()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()
