"""fp16: gradients of a scaled loss, and updates skipped where they overflow.

Accelerate refuses fp16 without a GPU, while torch's scaler and autocast work on a CPU as well: the
first tests put the same parts together there. The last one is for a machine with a GPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from robustlr.records import RunRecord, RunStatus
from robustlr.specs import Cell, PytorchOptimizer
from robustlr.training import loop, train
from robustlr.training.setting import make_accelerator
from robustlr.training.tracking import Tracking
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.benchmarks.curvature_problems import ResidualBlock
from tests.training.cells import digits_cell

Result = tuple[RunRecord, pl.DataFrame]


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """fp16 on the CPU; the first scale of every run is what the list holds."""
    first = [2.0**10]

    def on_cpu(cell: Cell, tracking: Tracking | None = None) -> Accelerator:
        training = dataclasses.replace(cell.training, precision="fp32")
        accelerator = make_accelerator(dataclasses.replace(cell, training=training), tracking)
        if cell.training.precision == "fp16":
            accelerator.state._mixed_precision = "fp16"
            accelerator.native_amp = True
            accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=first[0])
        return accelerator

    monkeypatch.setattr(loop, "make_accelerator", on_cpu)
    yield first
    AcceleratorState._reset_state()


def trained(precision: str, **options: object) -> Result:
    cell = digits_cell(precision=precision, num_steps=30, log_every=1, **options)  # type: ignore[arg-type]
    return train(cell, DigitsMLP(hidden=(16,)))


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.2}, {"accumulation_steps": 2}], ids=str)
def test_it_learns_as_in_single_precision(scale: list[float], options: dict[str, object]) -> None:
    (record, half), (_, single) = (trained(precision, **options) for precision in ("fp16", "fp32"))
    assert record.status is RunStatus.COMPLETED
    assert record.summary.example_passes == 30 * 64  # none was skipped
    for column in ("train_loss", "grad_norm"):  # of the gradient itself, whatever the scale
        ours, theirs = (curve[column].drop_nulls().to_list() for curve in (half, single))
        assert ours == pytest.approx(theirs, rel=0.02)
        assert ours != theirs
    assert half["lr"].to_list() == single["lr"].to_list()


def test_an_update_that_overflows_is_skipped_and_made_again(scale: list[float]) -> None:
    """The scale is halved until the gradients fit into half precision."""
    _, fitting = trained("fp16")
    scale[0] = 2.0**24
    record, curve = trained("fp16")
    skipped = record.summary.example_passes / 64 - 30
    assert 4 <= skipped <= 20
    assert record.status is RunStatus.COMPLETED
    assert curve["step"].to_list() == list(range(31))
    assert curve["lr"].to_list() == fitting["lr"].to_list()  # the schedule counts real updates
    assert curve["valid_loss"][-1] == pytest.approx(fitting["valid_loss"][-1], rel=0.2)


class ResidualDigits(DigitsMLP):
    """Its first derivatives fit into half precision at 2^16, its second ones do not."""

    def model(self, seed: int) -> nn.Module:
        return nn.Sequential(
            *(nn.Unflatten(1, (1, 8, 8)), ResidualBlock(1, 16, 2), ResidualBlock(16, 16, 1)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
        )


def test_second_derivatives_that_overflow_are_made_at_a_smaller_scale(scale: list[float]) -> None:
    """The scaler backs off for gradients alone: a healthy run would be told as diverged."""
    scale[0] = 2.0**16
    schedule, traces = "curvature_adaptive:every=1,max_skipped=2", []
    options: dict[str, Any] = {"lr_exponent": "-4", "num_steps": 3, "log_every": 1}
    for precision, tries in (("fp16", 2), ("fp32", 1)):
        cell = digits_cell(schedule, precision=precision, **options)
        record, curve = train(cell, ResidualDigits())
        assert record.status is RunStatus.COMPLETED
        assert record.outcome["curvature_skipped"] == 0
        assert record.summary.example_passes == 3 * 64  # no update was skipped either
        assert record.summary.curvature_passes == 3 * tries * 8 * 4.0  # examples, passes of each
        traces.append(curve["curvature_trace"].drop_nulls().to_list())
    half, single = traces
    assert half == pytest.approx(single, rel=0.2)


@pytest.mark.parametrize("name", ["ScheduleFreeAdamW", "SPlus"])
def test_optimizers_that_are_evaluated_at_other_weights(scale: list[float], name: str) -> None:
    scale[0] = 2.0**24  # they are evaluated before they have made an update, too
    options = {"optimizer": PytorchOptimizer(name=name), "eval_every": 5, "lr_exponent": "-2"}
    (record, half), (_, single) = (trained(precision, **options) for precision in ("fp16", "fp32"))
    assert record.summary.example_passes > 30 * 64
    ours, theirs = (curve["valid_loss"].drop_nulls().to_list() for curve in (half, single))
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    (record, half), (_, single) = (trained(precision) for precision in ("fp16", "fp32"))
    assert record.status is RunStatus.COMPLETED
    assert half["valid_loss"][-1] == pytest.approx(single["valid_loss"][-1], rel=0.1)
