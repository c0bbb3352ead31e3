"""Cells that two ranks train together, by real torchrun groups (gloo on CPU), and their faults."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psutil
import pytest

from robustlr.errors import CellStoppedError, WorkloadError
from robustlr.execution.group import run_group
from robustlr.execution.request import Request
from robustlr.records import RunRecord, RunStatus
from robustlr.specs import Cell, ExecutionSpec
from robustlr.training import train
from robustlr.workloads import build_workload
from tests.execution.slow_cells import FOLDER, RANK, leave_faults
from tests.small_study import small_spec

pytestmark = pytest.mark.slow


def pair(name: str = "Slow", **edits: object) -> Cell:
    factory = {"workload": {"factory": f"tests.execution.slow_cells:{name}"}}
    training = {"training": {"processes_per_cell": 2, "eval_every": 10}}
    return next(small_spec(**(factory | training | edits)).cells())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(RANK, "1")
    monkeypatch.setenv("PYTHONPATH", os.getcwd(), prepend=":")
    return tmp_path


def run(
    cell: Cell, folder: Path, stop: Callable[[], bool] = lambda: False, **execution: float
) -> tuple[RunRecord, pl.DataFrame, list[str]]:
    """Record, curve and notes of a group, its checkpoint in `folder`."""
    notes: list[str] = []
    spec = ExecutionSpec(**{"timeout_seconds": 120.0} | execution)  # type: ignore[arg-type]
    every = spec.checkpoint_every
    request = Request(cell=cell, checkpoint=str(folder / "checkpoint"), checkpoint_every=every)
    record, curve = run_group(request, spec, stop=stop, note=notes.append)
    return record, curve, notes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The curve of two ranks that nothing befalls."""
    here = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(here))
        patch.setenv("PYTHONPATH", os.getcwd(), prepend=":")
        return run(pair(), here)[1].drop("wall_seconds")


def test_two_ranks_give_the_curve_of_one(folder: Path) -> None:
    digits = {"workload": {"kind": "digits_mlp", "hidden": [16]}, "batch_size": 32}
    record, curve, _ = run(pair(**digits), folder)
    assert record.status is RunStatus.COMPLETED
    assert record.provenance["processes"] == "2"
    single = next(small_spec(**digits, training={"eval_every": 10}).cells())
    _, alone = train(single, build_workload(single.workload))
    for column in ("lr", "train_loss", "valid_loss", "test_loss", "valid_metric", "example_passes"):
        ours, theirs = curve[column].to_list(), alone[column].to_list()
        assert [value is None for value in ours] == [value is None for value in theirs], column
        assert [value or 0.0 for value in ours] == pytest.approx(
            [value or 0.0 for value in theirs], rel=1e-5, abs=1e-7
        ), column


def test_what_a_rank_raises_is_not_tried_again(folder: Path) -> None:
    leave_faults(3)
    with pytest.raises(WorkloadError, match=r"ended: rank 1 raised RuntimeError: no such luck$"):
        run(pair("Raising"), folder, max_retries=2)
    assert len(list(folder.glob("fault-*"))) == 2


@pytest.mark.parametrize(
    ("workload", "told", "timeout"),
    [
        ("Killed", "rank 1 killed by signal 9", 120.0),
        ("Hanging", "no update for 45 s", 45.0),  # two ranks may take half of it to begin
    ],
)
def test_a_group_that_dies_is_ended_whole_and_goes_on_from_its_checkpoint(
    folder: Path, undisturbed: pl.DataFrame, workload: str, told: str, timeout: float
) -> None:
    leave_faults(1)
    record, curve, notes = run(
        pair(workload), folder, max_retries=1, checkpoint_every=3, timeout_seconds=timeout
    )
    assert record.status is RunStatus.COMPLETED
    assert curve.drop("wall_seconds").equals(undisturbed)
    died, resumed = notes
    assert f"its group of 2 processes ended: {told}" in died
    assert died.endswith("; tried again")
    assert resumed.endswith("goes on from update 6")
    assert_ended(folder)


def test_a_group_that_always_runs_out_of_memory_fails_with_the_reason(folder: Path) -> None:
    leave_faults(9)
    told = r"^its group of 2 .* rank 1 ran out of memory: .*can't allocate memory.*, 2 times$"
    with pytest.raises(WorkloadError, match=told):
        run(pair("OutOfMemory"), folder, max_retries=1)
    assert len(list(folder.glob("fault-*"))) == 7
    assert_ended(folder)


def test_told_to_stop_it_leaves_a_checkpoint(folder: Path) -> None:
    cell = pair(num_steps=400)
    with pytest.raises(CellStoppedError, match=r"stopped after update \d+$"):
        run(cell, folder, stop=lambda: (folder / "pid-1").exists())
    assert (folder / "checkpoint").exists()
    assert_ended(folder)


def test_told_to_stop_while_it_hangs_it_is_ended(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustlr.execution.group._STOP_SECONDS", 3.0)
    leave_faults(1)

    def hangs() -> bool:
        return not list(folder.glob("fault-*"))

    with pytest.raises(CellStoppedError):
        run(pair("Hanging"), folder, stop=hangs)
    assert_ended(folder)


def assert_ended(folder: Path) -> None:
    """No rank that left its id is alive."""
    pids = [int(path.read_text()) for path in folder.glob("pid-*")]
    assert pids
    deadline = time.monotonic() + 10.0  # the kernel takes a moment to clear a killed process away
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
