"""Examples in memory, and what a workload has without saying so."""

from __future__ import annotations

import math

import pytest
import torch

from robustlr.errors import DataError
from robustlr.workloads import TensorExamples
from tests.workloads.samples import Regression


def spoilt(value: float, *places: tuple[int, ...]) -> torch.Tensor:
    tensor = torch.zeros(6, 2, 3)
    for place in places:
        tensor[place] = value
    return tensor


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_number_that_is_not_finite_is_found(value: float, dtype: torch.dtype) -> None:
    inputs = spoilt(value, (2, 0, 1), (2, 1, 1), (4, 0, 0)).to(dtype)
    with pytest.raises(DataError) as caught:
        TensorExamples(torch.arange(6), inputs)
    assert str(caught.value) == (
        "tensor 1 of the examples is not finite in 2 of 6 examples, the first is number 2"
    )


def test_a_label_that_is_not_a_number_is_found() -> None:
    labels = torch.tensor([0.0, math.nan, 1.0])
    with pytest.raises(DataError, match=r"tensor 1 .* in 1 of 3 examples, the first is number 1"):
        TensorExamples(torch.zeros(3, 2), labels)


@pytest.mark.parametrize(
    ("tensors", "lengths"),
    [
        ((torch.zeros(3, 2), torch.zeros(4)), "[3, 4]"),
        ((torch.zeros(0, 2), torch.zeros(0)), "[0, 0]"),
        ((), "[]"),
    ],
    ids=["unequal", "empty", "nothing"],
)
def test_lengths_are_equal_and_above_zero(tensors: tuple[torch.Tensor, ...], lengths: str) -> None:
    with pytest.raises(DataError) as caught:
        TensorExamples(*tensors)
    assert (
        str(caught.value) == f"examples need tensors of one length above 0, got lengths {lengths}"
    )


def test_a_batch_repeats_and_reorders() -> None:
    examples = TensorExamples(torch.arange(5.0), torch.arange(5) * 10)
    values, tens = examples.batch(torch.tensor([3, 3, 0]))
    assert values.tolist() == [3.0, 3.0, 0.0]
    assert tens.tolist() == [30, 30, 0]


def test_what_is_not_given_has_a_default() -> None:
    workload = Regression()
    model = workload.model(0)
    batch = workload.examples("train", 0).batch(torch.arange(4))
    assert workload.chance_loss is workload.optimum_loss is None
    assert workload.metric == "loss"
    assert workload.metric_value(1.0, 2.0) == 2.0
    assert workload.sampled_loss(model, batch, torch.Generator()) is None
    loss, metric = workload.score(model, batch)
    assert torch.equal(loss, metric)


@torch.no_grad()
def test_evaluation_in_pieces_equals_evaluation_at_once() -> None:
    class Small(Regression):
        evaluation_batch = 5

    examples = Regression().examples("valid", 0)
    model = Regression().model(0)
    indices = torch.arange(len(examples))
    pieces = Small().evaluate(model, examples, indices)
    assert pieces == pytest.approx(Regression().evaluate(model, examples, indices))
    assert Small().evaluate(model, examples, indices[:0]) == (0.0, 0.0)
