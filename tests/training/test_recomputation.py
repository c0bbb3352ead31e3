"""Gradient checkpointing: the same gradients from fewer bytes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from polars.testing import assert_frame_equal
from torch import Tensor, nn

from robustlr.errors import WorkloadError
from robustlr.training import train
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.training.cells import digits_cell
from tests.training.models import ConvDigits, first_batch, learner


class Bert(DigitsMLP):
    """A transformers model inside somebody's own module: pixels as tokens."""

    def model(self, seed: int) -> nn.Module:
        transformers = pytest.importorskip("transformers")
        sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
        config = transformers.BertConfig(
            vocab_size=17, intermediate_size=32, max_position_embeddings=64, num_labels=10, **sizes
        )
        return nn.Sequential(transformers.BertForSequenceClassification(config))

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:  # type: ignore[override]
        pixels, labels = batch
        logits = model((pixels * 16).long()).logits
        return nn.functional.cross_entropy(logits, labels)


def backward(workload: DigitsMLP, **options: Any) -> tuple[float, dict[str, Tensor], int]:
    """Loss, gradients and buffers by name, and bytes saved for the backward pass."""
    cell = digits_cell(batch_size=32, **options)
    ours = learner(cell, workload)
    torch.manual_seed(1)  # dropout
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = workload.loss(ours.model, first_batch(cell, workload))
    size = sum(saved.values())
    loss.backward()  # type: ignore[no-untyped-call]
    values = {name: p.grad for name, p in ours.bare_model.named_parameters() if p.grad is not None}
    return loss.item(), values | dict(ours.bare_model.named_buffers()), size


@pytest.mark.parametrize("workload", [ConvDigits(), Bert()], ids=["blocks", "transformers"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_gradients_from_fewer_bytes(workload: DigitsMLP, precision: str) -> None:
    loss, values, size = backward(workload, precision=precision)
    again, others, fewer = backward(workload, precision=precision, gradient_checkpointing=True)
    assert again == loss
    assert others.keys() == values.keys()
    for name, value in values.items():
        torch.testing.assert_close(others[name], value, msg=lambda text, n=name: f"{n}: {text}")
    assert fewer < 0.6 * size


def test_running_statistics_move_once_and_a_whole_run_is_the_same() -> None:
    options = {"num_steps": 8, "log_every": 1}
    _, plain = train(digits_cell(**options), ConvDigits())  # type: ignore[arg-type]
    _, recomputed = train(digits_cell(**options, gradient_checkpointing=True), ConvDigits())  # type: ignore[arg-type]
    assert_frame_equal(plain.drop("wall_seconds"), recomputed.drop("wall_seconds"), rel_tol=1e-5)


@pytest.mark.parametrize("estimator", ["hutchinson", "finite_difference", "gauss_newton"])
def test_estimates_of_the_curvature_are_the_same(estimator: str) -> None:
    schedule = f"curvature_adaptive:every=2,estimator={estimator}"
    options: dict[str, Any] = {"num_steps": 4, "log_every": 1}
    curves = [
        train(digits_cell(schedule, **options, gradient_checkpointing=on), ConvDigits())[1]
        for on in (False, True)
    ]
    traces = [curve["curvature_trace"].drop_nulls().to_list() for curve in curves]
    assert len(set(traces[0])) == 2
    assert traces[1] == pytest.approx(traces[0], rel=1e-3)


def test_a_model_without_blocks_is_told_what_to_do() -> None:
    message = r"the model \(Sequential\) has no `blocks` \(an nn.Sequential or nn.ModuleList\)"
    with pytest.raises(WorkloadError, match=message):
        train(digits_cell(gradient_checkpointing=True), DigitsMLP())
