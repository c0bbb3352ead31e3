"""Two gloo ranks train the cell that one process trains: the same curve up to float error."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import Tensor

from robustlr.records import RunStatus, read_curve, read_record
from robustlr.specs import AdamW, Cell, PytorchOptimizer
from robustlr.training import train
from robustlr.training.order import mixed_seed
from robustlr.training.setting import seed_torch
from robustlr.workloads import build_workload
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.curvature.two_ranks import on_two_ranks
from tests.training.cells import digits_cell
from tests.training.models import learner

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

CELLS = {
    "plain": digits_cell(num_steps=20, log_every=1),
    "accumulated": digits_cell(num_steps=20, log_every=1, batch_size=48, accumulation_steps=3),
    "clipped": digits_cell("linear+warmup", num_steps=20, log_every=1, clip_norm=0.5),
    "adamw": digits_cell(num_steps=20, log_every=1, optimizer=AdamW(), lr_exponent="-2"),
    "feedback": digits_cell("curvature_adaptive:every=5", num_steps=20, log_every=1),
    "warmup": digits_cell("auto_warmup", num_steps=40, lr_exponent="2", log_every=1),
    "diverging": digits_cell("fixed", num_steps=20, lr_exponent="30"),
}


def of_two(cell: Cell) -> Cell:
    training = dataclasses.replace(cell.training, processes_per_cell=2)
    return dataclasses.replace(cell, training=training)


def launch(script: Path, *arguments: Path) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *command, str(script), *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def group_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of every cell of CELLS from both ranks of one group, N-RANK.parquet."""
    folder = tmp_path_factory.mktemp("ranks")
    cells = folder / "cells.json"
    cells.write_text(json.dumps([of_two(cell).table() for cell in CELLS.values()]))
    launch(ROOT / "tests/training/ranks.py", cells, folder)
    return folder


def noisy_updates(rank: int) -> dict[str, list[Tensor]]:
    """The weights of a rank after updates by optimizers that draw random numbers, by name."""
    workload, weights = DigitsMLP(hidden=(16,)), {}
    batch = workload.examples("train", 0).batch(torch.arange(32))
    for name in ("Gravity", "Magma", "Kron"):
        ours = learner(of_two(digits_cell(optimizer=PytorchOptimizer(name=name))), workload)
        seed_torch(mixed_seed(0, rank), torch.device("cpu"))
        for step in range(3):
            ours.backward([batch], stop=lambda: False)
            ours.apply(0.1, step)
        weights[name] = [weight.detach().clone() for weight in ours.weights]
    return weights


def test_replicas_stay_equal_under_an_optimizer_that_draws(tmp_path: Path) -> None:
    first, second = on_two_ranks(noisy_updates, tmp_path)
    for name, weights in first.items():
        for mine, theirs in zip(weights, second[name], strict=True):
            assert torch.equal(mine, theirs), name


def compared(curve: pl.DataFrame) -> pl.DataFrame:
    # an estimate of the curvature has probes of its own on every rank
    return curve.drop("wall_seconds", "curvature_passes")


@pytest.mark.parametrize("name", CELLS)
def test_the_ranks_agree_to_the_bit(group_results: Path, name: str) -> None:
    number = list(CELLS).index(name)
    first, second = (group_results / f"{number}-{rank}.parquet" for rank in (0, 1))
    assert_frame_equal(
        read_curve(first).drop("wall_seconds"),
        read_curve(second).drop("wall_seconds"),
        check_exact=True,
    )
    assert read_record(first).status == read_record(second).status


@pytest.mark.parametrize("name", sorted(set(CELLS) - {"feedback", "warmup"}))
def test_two_ranks_equal_one(group_results: Path, name: str) -> None:
    record, alone = train(CELLS[name], build_workload(CELLS[name].workload))
    result = group_results / f"{list(CELLS).index(name)}-0.parquet"
    assert_frame_equal(compared(read_curve(result)), compared(alone), rel_tol=1e-4, abs_tol=1e-6)
    together = read_record(result)
    assert together.status is record.status
    assert together.provenance["processes"] == "2"
    assert read_curve(result)["lr"].to_list() == alone["lr"].to_list()


def test_a_feedback_schedule_decides_for_all_ranks(group_results: Path) -> None:
    result = group_results / f"{list(CELLS).index('feedback')}-0.parquet"
    record, curve = read_record(result), read_curve(result)
    assert record.status is RunStatus.COMPLETED
    assert record.outcome["curvature_estimates"] == 4
    assert curve["lr"].n_unique() > 1


def test_an_automated_warmup_ends_for_all_ranks_where_it_does_for_one(group_results: Path) -> None:
    cell = CELLS["warmup"]
    alone, curve = train(cell, build_workload(cell.workload))
    results = [group_results / f"{list(CELLS).index('warmup')}-{rank}.parquet" for rank in (0, 1)]
    first, second = map(read_record, results)
    assert first.outcome == second.outcome
    for name in ("warmup_switch_step", "warmup_reason", "warmup_multiplier"):
        assert first.outcome[name] == alone.outcome[name]
    assert 0 < alone.outcome["warmup_switch_step"] < 20  # before the longest warmup is over
    # the losses of an overshoot are not the same to the last bit; the decisions are
    assert read_curve(results[0])["lr"].to_list() == curve["lr"].to_list()
