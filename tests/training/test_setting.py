"""What is wrong with a cell or a workload is said in one line, before or at the first update."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from robustlr.errors import DataError, RobustlrError, SpecError, WorkloadError
from robustlr.specs import TrainingSpec
from robustlr.training import train
from robustlr.training.order import mixed_seed
from robustlr.training.setting import seed_torch
from robustlr.workloads import Batch, build_workload
from tests.training.cells import digits_cell, sample_cell
from tests.workloads.samples import Regression, WithLoss


def test_fp16_needs_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    cell = digits_cell(precision="fp16")
    with pytest.raises(SpecError, match="'fp16' needs a GPU; use 'bf16' or 'fp32' here"):
        train(cell, build_workload(cell.workload))


def test_a_cell_for_two_ranks_is_refused_by_one() -> None:
    cell = digits_cell(processes_per_cell=2)
    with pytest.raises(SpecError, match="processes_per_cell = 2, but this group has 1"):
        train(cell, build_workload(cell.workload))


def test_a_batch_larger_than_the_data() -> None:
    cell = digits_cell(batch_size=1001)
    with pytest.raises(SpecError, match="1001 is larger than the 1000 training examples"):
        train(cell, build_workload(cell.workload))


@pytest.mark.parametrize(
    ("factory", "kind", "message"),
    [
        ("Damaged", DataError, "'Damaged', train split: tensor 0 .* 1 of 32 examples.* number 5"),
        ("WithoutExamples", DataError, "'WithoutExamples', valid split: has no examples"),
        ("BornDead", WorkloadError, "'BornDead': the fresh model's loss is nan on validation"),
    ],
)
def test_broken_workloads(factory: str, kind: type[RobustlrError], message: str) -> None:
    cell = sample_cell(f"tests.workloads.samples:{factory}")
    with pytest.raises(kind, match=message) as caught:
        train(cell, build_workload(cell.workload))
    assert "\n" not in str(caught.value)


def no_graph(model: nn.Module, batch: Batch) -> Tensor:
    return (model(batch[0]).squeeze(-1) - batch[1]).square().mean().detach()


def one_per_example(model: nn.Module, batch: Batch) -> Tensor:
    loss = (model(batch[0]).squeeze(-1) - batch[1]).square()
    return loss if torch.is_grad_enabled() else loss.mean()


def a_float(model: nn.Module, batch: Batch) -> Tensor:
    return float((model(batch[0]).squeeze(-1) - batch[1]).square().mean())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (no_graph, "it has no graph"),
        (one_per_example, "must be a scalar tensor, the mean; got shape [8]"),
        (a_float, "must be a scalar tensor, the mean; got float"),
    ],
)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")
def test_a_loss_that_cannot_be_trained_on(loss, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(WorkloadError, match=re.escape(message)):
        train(sample_cell(), WithLoss(loss))


@pytest.mark.parametrize("chance", [float("nan"), float("inf")])
def test_a_loss_at_chance_that_is_no_number(monkeypatch: pytest.MonkeyPatch, chance: float) -> None:
    monkeypatch.setattr(Regression, "chance_loss", chance)
    with pytest.raises(WorkloadError, match=f"chance_loss is {chance}"):
        train(sample_cell(), Regression())


def test_seeding_is_what_torch_does() -> None:
    seed_torch(7, torch.device("cpu"))
    ours = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(ours, torch.rand(3))


def test_mixed_seeds_do_not_collide() -> None:
    seeds = {mixed_seed(seed, part) for seed in range(100) for part in range(20)}
    assert len(seeds) == 2000


def test_every_training_option_is_at_work() -> None:
    """A new option without a test of its effect would pass unnoticed."""
    assert set(TrainingSpec.__slots__) == {
        "eval_every",
        "log_every",
        "accumulation_steps",
        "precision",
        "clip_norm",
        "processes_per_cell",
        "compile",
        "gradient_checkpointing",
        "ema_decay",
        "channels_last",
        "accelerate_config",
    }
