"""What cannot be estimated is refused in a sentence, with an estimator that would work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from robustlr.curvature import (
    Estimator,
    FiniteDifference,
    GaussNewton,
    Hutchinson,
    SquaredGradient,
    make_estimator,
)
from robustlr.errors import SpecError, WorkloadError
from tests.curvature.problems import Case, mlp, transformer

BATCHED = [Hutchinson(), FiniteDifference(), GaussNewton()]


def refuse(
    case: Case, estimator: Estimator, match: str, loss_fn: Callable[..., Any] | None = None
) -> None:
    def sample(model: nn.Module, batch: Any, _: torch.Generator) -> tuple[Any, int]:
        return (loss_fn or case.loss_fn)(model, batch), 16

    with pytest.raises(WorkloadError, match=match) as caught:
        estimator.estimate(
            *(case.model, case.batch, torch.Generator().manual_seed(0)),
            loss_fn=loss_fn or case.loss_fn,
            sample_loss_fn=sample,
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("estimator", BATCHED, ids=lambda e: e.name)
def test_a_detached_loss(estimator: Estimator) -> None:
    case = mlp()
    refuse(
        *(case, estimator, "is detached .* use estimator = 'squared_gradient'"),
        lambda m, b: case.loss_fn(m, b).detach(),
    )


@pytest.mark.parametrize("estimator", BATCHED, ids=lambda e: e.name)
def test_an_integer_loss(estimator: Estimator) -> None:
    refuse(
        *(mlp(), estimator, "is integer .* use estimator = 'squared_gradient'"),
        lambda m, b: (m(b[0]).argmax(-1) != b[1]).sum(),
    )


@pytest.mark.parametrize("estimator", BATCHED, ids=lambda e: e.name)
def test_a_loss_that_is_no_scalar(estimator: Estimator) -> None:
    refuse(*(mlp(), estimator, r"must be a scalar.*\(16, 3\)"), lambda m, b: m(b[0]))
    refuse(*(mlp(), estimator, r"must be a scalar.*float"), lambda m, b: 0.5)


@pytest.mark.parametrize("estimator", BATCHED, ids=lambda e: e.name)
def test_a_loss_of_something_else(estimator: Estimator) -> None:
    other = torch.ones((), requires_grad=True)
    refuse(*(mlp(), estimator, "does not depend on any trainable parameter"), lambda m, b: other)


class _Opaque(torch.autograd.Function):
    """A kernel with a first derivative alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2.0 * ctx.saved_tensors[0] * gradient


def _opaque_loss(model: nn.Module, batch: Any) -> Tensor:
    return functional.cross_entropy(_Opaque.apply(model(batch[0])), batch[1])


def test_a_kernel_that_is_marked_differentiable_once() -> None:
    refuse(
        *(mlp(), Hutchinson(), "once_diff.*use estimator = 'gauss_newton' or 'finite_difference'"),
        _opaque_loss,
    )


def test_a_kernel_without_a_formula_for_its_second_derivative() -> None:
    case = transformer()
    q = case.model.embedding.weight.detach()[None, None].float().requires_grad_()

    def fused(model: nn.Module, batch: Any) -> Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # a model may insist on its kernel
            w = model.embedding.weight[None, None].float()
            return functional.scaled_dot_product_attention(w, w, q).square().sum()

    refuse(
        *(case, Hutchinson(), "lacks .*use estimator = 'gauss_newton' or 'finite_difference'"),
        fused,
    )


@pytest.mark.parametrize("estimator", [FiniteDifference(), GaussNewton()], ids=lambda e: e.name)
def test_the_estimators_it_names_do_work(estimator: Estimator) -> None:
    case = mlp()
    found = estimator.estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(0)),
        loss_fn=_opaque_loss,
        sample_loss_fn=lambda m, b, g: (_opaque_loss(m, b), len(b[1])),
    )
    assert found.trace == found.trace
    assert found.trace != 0.0


def test_a_linear_loss_has_no_second_derivative() -> None:
    model = nn.Linear(3, 1)
    case = Case(model, torch.randn(4, 3), lambda m, x: m(x).mean())
    refuse(case, Hutchinson(), "no second derivative.*use estimator = 'finite_difference'")


@pytest.mark.parametrize("steps", [torch.round, torch.sign])
def test_a_piecewise_constant_loss_has_no_curvature_for_any_estimator(
    steps: Callable[[Tensor], Tensor],
) -> None:
    model = nn.Linear(3, 1)

    case = Case(model, torch.randn(4, 3), lambda m, x: steps(m(x)).mean())
    refuse(case, Hutchinson(), "is piecewise constant .* its trace, whatever the estimator")
    other = FiniteDifference().estimate(
        *(model, case.batch, torch.Generator().manual_seed(0)), loss_fn=case.loss_fn
    )
    assert other.trace == 0.0


def test_no_labels_to_draw() -> None:
    case = mlp()
    for offer in (None, lambda m, b, g: None):
        with pytest.raises(WorkloadError, match="use estimator = 'hutchinson' or 'finite_diff"):
            GaussNewton().estimate(
                *(case.model, case.batch, torch.Generator()),
                loss_fn=case.loss_fn,
                sample_loss_fn=offer,
            )
    with pytest.raises(WorkloadError, match="at least one label"):
        GaussNewton().estimate(
            *(case.model, case.batch, torch.Generator()),
            loss_fn=case.loss_fn,
            sample_loss_fn=lambda m, b, g: (case.loss_fn(m, b), 0),
        )


@pytest.mark.parametrize("estimator", BATCHED, ids=lambda e: e.name)
def test_reentrant_checkpoints(estimator: Estimator) -> None:
    case = transformer()
    case.model.checkpointed = True
    # The first block's input needs a gradient, else reentrant checkpoints drop the graph.
    refuse(case, estimator, r"use_reentrant=False.*'squared_gradient'")


def test_one_example_under_batch_norm() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    case = Case(
        *(model, (torch.randn(1, 3), torch.zeros(1, dtype=torch.int64))),
        lambda m, b: functional.cross_entropy(m(b[0]), b[1]),
    )
    for estimator in BATCHED:
        refuse(case, estimator, "BatchNorm .*raise batch_fraction")


def test_squared_gradient_without_a_gradient() -> None:
    case = mlp()
    with pytest.raises(WorkloadError, match=r"there is none: .*estimator = 'hutchinson'"):
        SquaredGradient().estimate(
            *(case.model, case.batch, torch.Generator()), loss_fn=case.loss_fn
        )


def test_a_model_without_trainable_parameters() -> None:
    case = mlp()
    case.model.requires_grad_(False)
    refuse(case, Hutchinson(), "no trainable parameter")


def test_coarse_weights_under_finite_difference() -> None:
    case = mlp()
    case.model.bfloat16()
    refuse(case, FiniteDifference(), "'0.weight' is torch.bfloat16.*estimator = 'gauss_newton'")


def test_options_out_of_range() -> None:
    with pytest.raises(SpecError, match="probes must be at least 1, got 0"):
        Hutchinson(probes=0)
    with pytest.raises(SpecError, match=r"probes must be a whole number \(an int\), got 1\.5"):
        Hutchinson(probes=1.5)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="distance must be a number, got 'a'"):
        FiniteDifference(distance="a")  # type: ignore[arg-type]
    for distance in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SpecError, match="distance must be a positive number"):
            FiniteDifference(distance=distance)
    with pytest.raises(SpecError, match="did you mean 'hutchinson'"):
        make_estimator("hutchison")


def test_a_loss_that_overflows_gives_a_trace_that_is_not_finite() -> None:
    case = mlp()
    for estimator in (Hutchinson(), GaussNewton(), FiniteDifference()):
        found = estimator.estimate(
            *(case.model, case.batch, torch.Generator().manual_seed(0)),
            loss_fn=lambda m, b: case.loss_fn(m, b) * float("inf"),
            sample_loss_fn=lambda m, b, g: (case.loss_fn(m, b) * float("inf"), 16),
        )
        assert not torch.tensor(found.trace).isfinite()
