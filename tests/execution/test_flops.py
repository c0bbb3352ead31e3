"""Arithmetic is counted from shapes: closed forms of small networks."""

from __future__ import annotations

import pytest

from robustlr.errors import WorkloadError
from robustlr.execution import training_flops
from robustlr.execution.flops import forward_flops
from robustlr.specs import WorkloadSpec
from tests.small_study import small_spec


def test_a_perceptron_is_two_operations_a_weight() -> None:
    spec = WorkloadSpec(kind="digits_mlp", options={"hidden": (48, 24)})
    assert forward_flops(spec) == 2 * (64 * 48 + 48 * 24 + 24 * 10)


def test_a_study_is_three_forward_passes_of_every_example() -> None:
    cells = list(small_spec(batch_size=[8, 16]).cells())
    one = forward_flops(cells[0].workload)
    seen = sum(cell.batch_size * cell.num_steps for cell in cells)
    assert training_flops(cells) == pytest.approx(3 * one * seen)


def test_a_model_that_cannot_do_without_numbers_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = WorkloadSpec(factory=f"{__name__}:looking", label="looks")
    monkeypatch.setattr("robustlr.workloads.registry.import_object", lambda _: looking)
    with pytest.raises(WorkloadError, match="'looks': its arithmetic cannot be counted"):
        forward_flops(spec)


def looking() -> object:
    """Digits whose loss depends on a number in the data."""
    from robustlr.workloads.digits_mlp import DigitsMLP

    class Looks(DigitsMLP):
        def loss(self, model, batch):  # type: ignore[no-untyped-def]
            return super().loss(model, batch) if batch[0].sum().item() > 0 else None

    return Looks()
