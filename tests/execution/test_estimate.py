"""The estimate is made from what is known, and only that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from robustlr.execution import estimate_seconds
from robustlr.records import RunPaths, RunSummary
from robustlr.study import plan
from tests.small_study import record_of, small_spec


def test_timed_updates_scale_with_the_horizon(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    short = estimate_seconds(plan(small_spec(num_steps=200), paths), threads=1)
    long = estimate_seconds(plan(small_spec(num_steps=20000), paths), threads=1)
    assert short.source == "20 timed updates of 2 kinds of cells"
    assert long.seconds > 10 * short.seconds > 0


def test_cells_already_done_are_the_better_source(tmp_path: Path) -> None:
    current = plan(small_spec(), RunPaths(tmp_path))
    first, second = (
        dataclasses.replace(record_of(cell), summary=RunSummary(wall_seconds=seconds))
        for cell, seconds in zip(current.cells[:2], (1.0, 3.0), strict=True)
    )
    fixed = tuple(cell for cell in current.cells if cell.schedule.kind == "fixed")
    partly = dataclasses.replace(current, done=(first, second), missing=fixed, cells=fixed)
    estimate = estimate_seconds(partly, threads=1)
    assert estimate.seconds == pytest.approx(2.0 * len(partly.to_run))
    assert estimate.source == "2 cells already done"


def test_nothing_to_run_costs_nothing(tmp_path: Path) -> None:
    current = plan(small_spec(), RunPaths(tmp_path))
    done = dataclasses.replace(current, done=tuple(map(record_of, current.cells)), missing=())
    assert estimate_seconds(done, threads=1).seconds == 0.0
