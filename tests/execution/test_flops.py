"""Arithmetic is counted from shapes: closed forms of small networks."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from robustlr.errors import WorkloadError
from robustlr.execution import training_flops
from robustlr.execution.flops import forward_flops
from robustlr.specs import WorkloadSpec
from robustlr.workloads import Batch
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.small_study import small_spec


def test_a_perceptron_is_two_operations_a_weight() -> None:
    spec = WorkloadSpec(kind="digits_mlp", options={"hidden": (48, 24)})
    assert forward_flops(spec) == 2 * (64 * 48 + 48 * 24 + 24 * 10)


def test_a_study_is_three_forward_passes_of_every_example() -> None:
    cells = list(small_spec(batch_size=[8, 16]).cells())
    one = forward_flops(cells[0].workload)
    seen = sum(cell.batch_size * cell.num_steps for cell in cells)
    assert training_flops(cells) == pytest.approx(3 * one * seen)


def test_a_model_that_looks_at_numbers_is_counted_on_real_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = forward_flops(WorkloadSpec(kind="digits_mlp"))
    monkeypatch.setattr("robustlr.workloads.registry.import_object", lambda _: Looks)
    assert forward_flops(WorkloadSpec(factory=f"{__name__}:Looks")) == expected


def test_a_loss_that_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustlr.workloads.registry.import_object", lambda _: Fails)
    with pytest.raises(WorkloadError, match="'fails' raised ValueError: no"):
        forward_flops(WorkloadSpec(factory=f"{__name__}:Fails", label="fails"))


class Looks(DigitsMLP):
    """Digits whose loss depends on a number in the data."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        assert batch[0].sum().item() > 0
        return super().loss(model, batch)


class Fails(DigitsMLP):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        raise ValueError("no")
