"""The estimate follows the size of the study."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from robustlr.execution import Estimate, estimate_seconds
from robustlr.records import RunPaths
from robustlr.specs import Cell
from robustlr.study import Plan, plan
from tests.small_study import record_of, small_spec


def planned(folder: Path, **edits: object) -> Plan:
    return plan(small_spec(**edits), RunPaths(folder))


def test_every_kind_of_cell_is_really_timed(tmp_path: Path) -> None:
    estimate = estimate_seconds(planned(tmp_path, num_steps=200), threads=1)
    assert estimate.kinds == 2
    assert estimate.seconds > 0


@pytest.mark.parametrize(("num_steps", "eval_every"), [(20, 10), (200, 7), (20_000, 500), (300, 1)])
def test_the_estimate_is_setup_updates_and_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_steps: int, eval_every: int
) -> None:
    setup, update, evaluation = 0.5, 0.002, 0.03

    def timed(cell: Cell, steps: int, eval_every: int) -> tuple[float, float]:
        return update, setup + evaluation * (1 + math.ceil(steps / eval_every))

    monkeypatch.setattr("robustlr.execution.estimate._train", timed)
    current = planned(tmp_path, num_steps=num_steps, training={"eval_every": eval_every})
    evaluations = 1 + math.ceil(num_steps / eval_every)
    expected = len(current.cells) * (setup + num_steps * update + evaluations * evaluation)
    assert estimate_seconds(current, threads=1).seconds == pytest.approx(expected)


def test_only_what_is_to_run_is_timed(tmp_path: Path) -> None:
    current = planned(tmp_path)
    done = dataclasses.replace(current, done=tuple(map(record_of, current.cells)), missing=())
    assert estimate_seconds(done, threads=1) == Estimate(0.0, 0)


def test_a_study_of_sharded_groups_is_timed_on_one_process(tmp_path: Path) -> None:
    training = {"processes_per_cell": 2, "accelerate_config": {}}
    estimate = estimate_seconds(planned(tmp_path, seeds=1, training=training), threads=1)
    assert estimate.seconds > 0
