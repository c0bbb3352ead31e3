"""Trackers hold what the curve holds, once; and cost a run nothing but time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from accelerate.tracking import TensorBoardTracker
from polars.testing import assert_frame_equal
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from robustlr.errors import CellStoppedError
from robustlr.records import RunStatus
from robustlr.specs import Cell
from robustlr.training import Checkpoints, Tracking, train
from robustlr.workloads import build_workload
from tests.training.cells import digits_cell
from tests.training.interrupted import stop_within

CELL = digits_cell("curvature_adaptive:every=5", num_steps=30, eval_every=10, log_every=3)


@pytest.fixture
def tracking(tmp_path: Path) -> Tracking:
    return Tracking(names=("tensorboard",), project="study", folder=tmp_path / "cosine-lr=1")


def run(
    cell: Cell, tracking: Tracking | None, checkpoints: Checkpoints | None = None
) -> pl.DataFrame:
    return train(cell, build_workload(cell.workload), checkpoints, tracking)[1]


def assert_holds(tracking: Tracking, curve: pl.DataFrame) -> None:
    """TensorBoard shows every number of the curve, once."""
    (folder,) = {file.parent for file in tracking.folder.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    known = {name for name in curve.columns if name != "step" and curve[name].drop_nulls().len()}
    assert set(events.Tags()["scalars"]) == known
    for name in events.Tags()["scalars"]:
        shown = {event.step: event.value for event in events.Scalars(name)}
        assert len(shown) == len(events.Scalars(name)), "a step is shown twice"
        rows = curve.select("step", name).drop_nulls().rows()
        assert shown == {step: float(np.float32(value)) for step, value in rows}


def test_tensorboard_shows_the_curve_which_stays_as_it_is(tracking: Tracking) -> None:
    curve = run(CELL, tracking)
    assert "curvature_trace" in curve.columns
    assert_holds(tracking, curve)
    assert_frame_equal(curve.drop("wall_seconds"), run(CELL, None).drop("wall_seconds"))


def test_a_run_that_goes_on_from_its_checkpoint_is_shown_once(
    tracking: Tracking, tmp_path: Path
) -> None:
    path, told = tmp_path / "checkpoint", stop_within(16)

    def killed_in_update_17() -> bool:
        if told():
            raise ZeroDivisionError
        return False

    with pytest.raises(ZeroDivisionError):
        run(CELL, tracking, Checkpoints(path=path, every=10, stop=killed_in_update_17))
    assert_holds(tracking, run(CELL, tracking, Checkpoints(path=path)))


def test_a_run_that_begins_anew_is_shown_once(tracking: Tracking, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(CellStoppedError):
        run(CELL, tracking, Checkpoints(path=path, stop=stop_within(8)))
    path.unlink()
    assert_holds(tracking, run(CELL, tracking, Checkpoints(path=path)))


def test_a_tracker_that_fails_costs_the_run_nothing(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(TensorBoardTracker, "log", no_network)
    notes: list[str] = []
    checkpoints = Checkpoints(path=tmp_path / "c", note=notes.append)
    record, _ = train(CELL, build_workload(CELL.workload), checkpoints, tracking)
    assert record.status is RunStatus.COMPLETED
    assert notes == [f"cell {CELL.key}: its trackers are left alone: ConnectionError: no network"]


def test_cells_of_one_process_have_a_run_each(tmp_path: Path) -> None:
    for seed in (0, 1):
        cell = dataclasses.replace(CELL, seed=seed)
        own = Tracking(names=("tensorboard",), project="s", folder=tmp_path / str(seed))
        assert_holds(own, run(cell, own))
