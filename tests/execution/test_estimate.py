"""The estimate follows the size of the study."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from robustlr.execution import Estimate, estimate_seconds
from robustlr.records import RunPaths
from robustlr.study import Plan, plan
from tests.small_study import record_of, small_spec


def planned(folder: Path, **edits: object) -> Plan:
    return plan(small_spec(**edits), RunPaths(folder))


def test_timed_updates_scale_with_the_horizon(tmp_path: Path) -> None:
    short = estimate_seconds(planned(tmp_path, num_steps=200), threads=1)
    long = estimate_seconds(planned(tmp_path, num_steps=20_000), threads=1)
    assert short.kinds == long.kinds == 2
    assert long.seconds > 10 * short.seconds > 0


def test_evaluations_count(tmp_path: Path) -> None:
    data = {"kind": "logistic", "dim": 20, "samples": 20_000}
    rare = planned(tmp_path, workload=data, num_steps=500, training={"eval_every": 500})
    often = planned(tmp_path, workload=data, num_steps=500, training={"eval_every": 1})
    assert (
        estimate_seconds(often, threads=1).seconds > 3 * estimate_seconds(rare, threads=1).seconds
    )


def test_only_what_is_to_run_is_timed(tmp_path: Path) -> None:
    current = planned(tmp_path)
    done = dataclasses.replace(current, done=tuple(map(record_of, current.cells)), missing=())
    assert estimate_seconds(done, threads=1) == Estimate(0.0, 0)
