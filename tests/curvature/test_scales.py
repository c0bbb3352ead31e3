"""float16: a scale that fits first derivatives is too much for second ones, and is made smaller."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustlr.curvature import (
    CurvatureEstimate,
    Estimator,
    FiniteDifference,
    GaussNewton,
    Hutchinson,
    SquaredGradient,
)
from tests.benchmarks.curvature_problems import loss_fn, resnet
from tests.curvature.problems import mlp

EVERY = [Hutchinson(), FiniteDifference(), GaussNewton(), SquaredGradient()]


def half_loss(model: nn.Module, batch: Any) -> Tensor:
    with torch.autocast("cpu", torch.float16):
        return loss_fn(model, batch)


@pytest.fixture(scope="module")
def net() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The GroupNorm ResNet on a batch for which its gradient fits at 2^16, its product not."""
    torch.manual_seed(0)
    model, inputs, labels = resnet()
    return model, (inputs[:4, :, :8, :8], labels[:4])


@pytest.mark.parametrize("diagonal", [True, False])
def test_the_same_probe_is_tried_at_a_smaller_scale(
    net: tuple[nn.Module, tuple[Tensor, Tensor]], diagonal: bool
) -> None:
    model, batch = net

    def at(scale: float) -> CurvatureEstimate:
        return Hutchinson(probes=2).estimate(
            *(model, batch, torch.Generator().manual_seed(0)),
            loss_fn=half_loss,
            loss_scale=scale,
            diagonal=diagonal,
        )

    gradient = torch.autograd.grad(half_loss(model, batch) * 2.0**16, list(model.parameters()))
    assert all(g.isfinite().all() for g in gradient)  # the scaler sees no reason to back off
    tried, fitting = at(2.0**16), at(2.0**8)
    assert tried.trace == fitting.trace
    assert tried.trace == pytest.approx(at(1.0).trace, rel=1e-2)
    assert tried.extremes == fitting.extremes
    for name, h in fitting.diagonal.items():
        assert torch.equal(tried.diagonal[name], h)
    assert tried.cost == 2 * fitting.cost  # what did not fit was paid for too


def tries(estimator: Estimator, scale: float, bad: int) -> tuple[CurvatureEstimate, int]:
    """The estimate of a rank whose own is finite, while others spoil the first `bad` means."""
    case, calls = mlp(), []
    case.loss_fn(case.model, case.batch).backward()

    def reduce(tensor: Tensor) -> Tensor:
        calls.append(tensor)
        return tensor * float("nan") if len(calls) <= bad else tensor

    estimate = estimator.estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(0)),
        loss_fn=case.loss_fn,
        sample_loss_fn=case.sample_loss_fn,
        reduce=reduce,
        loss_scale=scale,
    )
    return estimate, len(calls)


@pytest.mark.parametrize("estimator", EVERY[:3], ids=lambda e: e.name)
def test_ranks_decide_alike_on_the_mean(estimator: Estimator) -> None:
    (alone, once), (spoilt, twice) = tries(estimator, 2.0**10, 0), tries(estimator, 2.0**10, 1)
    assert (once, twice) == (1, 2)
    assert spoilt.trace == pytest.approx(alone.trace, rel=1e-6)
    assert spoilt.cost == 2 * alone.cost


@pytest.mark.parametrize(("scale", "most"), [(1.0, 1), (2.0, 2), (2.0**8, 2), (2.0**16, 3)])
def test_it_ends_at_scale_1(scale: float, most: int) -> None:
    estimate, calls = tries(Hutchinson(), scale, 100)
    assert calls == most
    assert not torch.tensor(estimate.trace).isfinite()


def test_the_scale_of_a_gradient_that_is_there_cannot_be_chosen() -> None:
    assert tries(SquaredGradient(), 2.0**16, 100)[1] == 1
