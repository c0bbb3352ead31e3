"""FSDP over two gloo ranks gives the curve of DDP, and every option of training works under it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from polars.testing import assert_frame_equal
from torch.distributed.tensor import DTensor

from robustlr.errors import SpecError
from robustlr.records import RunStatus, read_curve, read_record
from robustlr.specs import AdamW, Cell, ShardingSpec, WorkloadSpec
from tests.curvature.two_ranks import on_two_ranks
from tests.training.cells import digits_cell, sample_cell
from tests.training.models import learner
from tests.training.test_ranks import ROOT, launch

pytestmark = pytest.mark.slow

SHARDING = ShardingSpec(auto_wrap_policy="SIZE_BASED_WRAP", min_num_params=200)
CONV = WorkloadSpec(factory="tests.training.models:ConvDigits")


def conv_cell(schedule: str = "cosine", **options: Any) -> Cell:
    cell = digits_cell(schedule, num_steps=8, log_every=1, eval_every=4, **options)
    return dataclasses.replace(cell, workload=CONV)


CELLS = {
    "plain": digits_cell(num_steps=12, log_every=1),
    "all at once": digits_cell(num_steps=5, log_every=1),
    "clipped, accumulated, averaged": conv_cell(
        clip_norm=0.5, accumulation_steps=2, batch_size=32, ema_decay=0.5
    ),
    "adamw in bf16": conv_cell(precision="bf16", optimizer=AdamW(), lr_exponent="-2"),
    "recomputed": conv_cell(gradient_checkpointing=True),
    "finite_difference": conv_cell("curvature_adaptive:every=3,estimator=finite_difference"),
    "gauss_newton": conv_cell("curvature_adaptive:every=3,estimator=gauss_newton"),
    "squared_gradient": conv_cell("curvature_adaptive:every=3,estimator=squared_gradient"),
    "diverging": digits_cell("fixed", num_steps=20, lr_exponent="30"),
}
PROBED = ("finite_difference", "gauss_newton")  # every rank of DDP has probes of its own


def of_two(cell: Cell, sharding: ShardingSpec | None) -> Cell:
    training = dataclasses.replace(cell.training, processes_per_cell=2, accelerate_config=sharding)
    return dataclasses.replace(cell, training=training)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every cell, under DDP and under FSDP, from both ranks of one group."""
    folder = tmp_path_factory.mktemp("shards")
    cells = []
    for name, cell in CELLS.items():
        sharding = ShardingSpec() if name == "all at once" else SHARDING
        cells += [of_two(cell, None), of_two(cell, sharding)]
    (folder / "cells.json").write_text(json.dumps([cell.table() for cell in cells]))
    launch(ROOT / "tests/training/ranks.py", folder / "cells.json", folder)
    return folder


def of(results: Path, name: str, *, sharded: bool, rank: int = 0) -> Path:
    return results / f"{2 * list(CELLS).index(name) + sharded}-{rank}.parquet"


@pytest.mark.parametrize("name", CELLS)
def test_the_ranks_agree_to_the_bit(results: Path, name: str) -> None:
    first, second = (of(results, name, sharded=True, rank=rank) for rank in (0, 1))
    assert_frame_equal(
        read_curve(first).drop("wall_seconds"),
        read_curve(second).drop("wall_seconds"),
        check_exact=True,
    )
    assert read_record(first).status is read_record(second).status


@pytest.mark.parametrize("name", sorted(set(CELLS) - set(PROBED)))
def test_the_curve_is_that_of_replicas(results: Path, name: str) -> None:
    sharded, replicated = (of(results, name, sharded=sharded) for sharded in (True, False))
    assert read_record(sharded).status is read_record(replicated).status
    tolerance = 0.02 if "bf16" in name else 1e-4
    assert_frame_equal(
        read_curve(sharded).drop("wall_seconds"),
        read_curve(replicated).drop("wall_seconds"),
        rel_tol=tolerance,
        abs_tol=1e-5,
    )


@pytest.mark.parametrize("name", PROBED)
def test_schedules_that_probe_the_curvature(results: Path, name: str) -> None:
    record = read_record(of(results, name, sharded=True))
    curve = read_curve(of(results, name, sharded=True))
    assert record.status is RunStatus.COMPLETED
    assert record.outcome["curvature_estimates"] == 3
    assert curve["lr"].n_unique() > 1


def test_a_weight_that_is_not_finite_on_one_rank_ends_all(results: Path) -> None:
    assert read_record(of(results, "diverging", sharded=True)).status is RunStatus.DIVERGED


def parts(rank: int) -> dict[str, Any]:
    """How many numbers of the weights and of Adam's state a rank holds; a refusal."""
    from tests.training.models import ConvDigits

    cell = of_two(conv_cell(optimizer=AdamW()), SHARDING)
    ours = learner(cell, ConvDigits())
    ours.backward([ConvDigits().examples("train", 0).batch(torch.arange(32))], stop=lambda: False)
    ours.apply(1.0, step=0)
    state = [value for values in ours.optimizer.state.values() for value in values.values()]
    wrong = dataclasses.replace(
        SHARDING,
        auto_wrap_policy="TRANSFORMER_BASED_WRAP",
        transformer_layer_cls_to_wrap=("GPT2Block",),
    )
    try:
        learner(of_two(conv_cell(), wrong), ConvDigits())
    except SpecError as error:
        refusal = str(error)
    return {
        "sharded": all(isinstance(weight, DTensor) for weight in ours.weights),
        "all": sum(weight.numel() for weight in ours.weights),
        "mine": sum(weight.to_local().numel() for weight in ours.weights),  # type: ignore[attr-defined]
        "state": sum(v.to_local().numel() for v in state if isinstance(v, DTensor)),
        "refusal": refusal,
    }


def test_every_rank_holds_its_part(tmp_path: Path) -> None:
    first, second = on_two_ranks(parts, tmp_path)
    assert first["sharded"]
    assert first["mine"] + second["mine"] == first["all"]
    assert 0.4 < first["mine"] / first["all"] < 0.6
    assert first["state"] == 2 * first["mine"]
    assert "names GPT2Block, and the model is made of BatchNorm2d, Conv2d," in first["refusal"]


def test_alone_it_is_refused() -> None:
    with pytest.raises(SpecError, match="needs processes_per_cell of 2 or more"):
        sample_cell(accelerate_config=SHARDING)
