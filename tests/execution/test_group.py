"""Cells that two ranks train together, by real torchrun groups (gloo on CPU)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from robustlr.errors import WorkloadError
from robustlr.execution.group import run_group
from robustlr.records import RunStatus
from robustlr.specs import Cell
from robustlr.training import train
from robustlr.workloads import build_workload
from tests.small_study import small_spec

pytestmark = pytest.mark.slow


def pair(**edits: object) -> Cell:
    spec = small_spec(training={"processes_per_cell": 2, "eval_every": 10}, **edits)
    return next(spec.cells())


def test_two_ranks_give_the_curve_of_one() -> None:
    cell = pair(workload={"kind": "digits_mlp", "hidden": [16]}, batch_size=32)
    record, curve = run_group(cell, threads=1, timeout=120)
    assert record.status is RunStatus.COMPLETED
    assert record.provenance["processes"] == "2"
    single = next(
        small_spec(
            workload={"kind": "digits_mlp", "hidden": [16]},
            batch_size=32,
            training={"eval_every": 10},
        ).cells()
    )
    _, alone = train(single, build_workload(single.workload))
    for column in ("lr", "train_loss", "valid_loss", "test_loss", "valid_metric", "example_passes"):
        ours, theirs = curve[column].to_list(), alone[column].to_list()
        assert [value is None for value in ours] == [value is None for value in theirs], column
        assert [value or 0.0 for value in ours] == pytest.approx(
            [value or 0.0 for value in theirs], rel=1e-5, abs=1e-7
        ), column


def test_the_reason_of_a_group_that_fails_is_the_rank_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising_loss.py").write_text(
        "from robustlr.workloads.logistic import Logistic\n"
        "class Raising(Logistic):\n"
        "    def loss(self, model, batch):\n"
        "        raise RuntimeError('no such luck')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(WorkloadError, match=r"2 processes ended .*RuntimeError: no such luck"):
        run_group(pair(workload={"factory": "raising_loss:Raising"}), threads=1, timeout=120)


def test_a_group_that_hangs_is_ended_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hanging_model.py").write_text(
        "import os, time\n"
        "from robustlr.workloads.logistic import Logistic\n"
        "class Hanging(Logistic):\n"
        "    def model(self, seed):\n"
        "        open(os.environ['PIDS'] + os.environ['RANK'], 'w').write(str(os.getpid()))\n"
        "        time.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PIDS", str(tmp_path / "pid-"))
    with pytest.raises(WorkloadError, match="no end after 12 s"):
        run_group(pair(workload={"factory": "hanging_model:Hanging"}), threads=1, timeout=12)
    pids = [int(path.read_text()) for path in tmp_path.glob("pid-*")]
    assert pids
    deadline = time.monotonic() + 10.0  # the kernel takes a moment to clear a killed process away
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
