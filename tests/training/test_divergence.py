"""Divergence is data: a run that blew up ends at once, and says so with a value one can rank."""

from __future__ import annotations

import math

import polars as pl
import pytest
import torch
from torch import Tensor, nn

from robustlr.records import RunRecord, RunStatus, read_curve, read_record, write_result
from robustlr.training import train
from robustlr.workloads import Batch, build_workload
from tests.training.cells import digits_cell, sample_cell
from tests.workloads.samples import Saturating, WithLoss


def blow_up() -> tuple[RunRecord, pl.DataFrame]:
    cell = digits_cell("fixed", num_steps=500, lr_exponent="30")
    return train(cell, build_workload(cell.workload))


def test_a_huge_learning_rate_ends_at_once() -> None:
    record, curve = blow_up()
    assert record.status is RunStatus.DIVERGED
    assert record.summary.steps < 50
    assert curve["step"].is_sorted()
    assert curve["step"].is_unique().all()
    assert curve["step"][-1] == record.summary.steps


def test_its_value_is_the_loss_at_chance() -> None:
    record, curve = blow_up()
    assert record.value == math.log(10)
    assert record.summary.valid_loss is None
    assert record.summary.test_metric is None
    assert record.summary.initial_valid_loss == curve["valid_loss"][0]


def test_it_survives_the_disk(tmp_path) -> None:  # type: ignore[no-untyped-def]
    record, curve = blow_up()
    write_result(tmp_path / "cell.parquet", record, curve)
    assert read_record(tmp_path / "cell.parquet") == record
    assert read_curve(tmp_path / "cell.parquet").equals(curve)


def test_a_finite_loss_worse_than_chance_is_completed_and_clipped() -> None:
    cell = digits_cell("fixed", num_steps=3, lr_exponent="3/2")
    record, _ = train(cell, build_workload(cell.workload))
    assert record.status is RunStatus.COMPLETED
    assert record.summary.valid_loss > math.log(10)  # type: ignore[operator]
    assert record.value == math.log(10)


def losing_at(update: int) -> WithLoss:
    """A workload whose training loss is not a number from `update` on, counted from 0."""
    calls = 0

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        nonlocal calls
        value = (model(batch[0]).squeeze(-1) - batch[1]).square().mean()
        if torch.is_grad_enabled():
            calls += 1
        return value * torch.nan if torch.is_grad_enabled() and calls > update else value

    return WithLoss(loss)


def test_diverged_at_step_0() -> None:
    record, curve = train(sample_cell(), losing_at(0))
    assert record.status is RunStatus.DIVERGED
    assert record.summary.steps == 0
    assert curve["step"].to_list() == [0]
    assert curve["lr"].to_list() == [None]
    assert record.summary.example_passes == 8.0  # the batch was paid for
    assert record.value == record.summary.initial_valid_loss


@pytest.mark.parametrize(("update", "steps"), [(4, [0, 4]), (5, [0, 5]), (7, [0, 5, 7])])
def test_diverged_between_and_at_evaluations(update: int, steps: list[int]) -> None:
    record, curve = train(sample_cell(eval_every=5), losing_at(update))
    assert record.status is RunStatus.DIVERGED
    assert record.summary.steps == update
    assert curve["step"].to_list() == steps
    assert curve["lr"][-1] == pytest.approx(0.01)
    assert record.summary.valid_loss is None
    assert record.summary.best_valid_loss == curve["valid_loss"].min()


def test_weights_that_are_not_finite_end_the_run_though_the_loss_is() -> None:
    record, curve = train(sample_cell(eval_every=10), Saturating())
    assert record.status is RunStatus.DIVERGED
    assert record.summary.steps == 1
    assert curve["step"].to_list() == [0, 1]
    assert math.isfinite(curve["train_loss"][-1])
