"""The trace without the diagonal: the same number to rounding, in far less memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.curvature import Estimator, FiniteDifference, GaussNewton, Hutchinson, SquaredGradient
from tests.benchmarks.memory import most_allocated
from tests.curvature.problems import CASES, Case, classification, mlp, transformer

ESTIMATORS = [
    *(Hutchinson(), Hutchinson(probes=3), FiniteDifference(probes=2)),
    *(GaussNewton(), GaussNewton(probes=3), SquaredGradient()),
]


def assert_agree(case: Case, estimator: Estimator, rel: float = 1e-9, **options: Any) -> None:
    case.model.zero_grad()
    case.loss_fn(case.model, case.batch).backward()

    def estimate(diagonal: bool) -> Any:
        return estimator.estimate(
            *(case.model, case.batch, torch.Generator().manual_seed(0)),
            loss_fn=case.loss_fn,
            sample_loss_fn=case.sample_loss_fn if case.logits_fn else None,
            diagonal=diagonal,
            **options,
        )

    both, alone = estimate(True), estimate(False)
    size = sum(float(h.abs().sum()) for h in both.diagonal.values())  # what rounding is relative to
    assert alone.trace == pytest.approx(both.trace, abs=rel * size)
    assert both.trace != 0.0
    assert alone.diagonal == {}
    assert alone.extremes is None
    assert alone.cost == both.cost


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: f"{e.name}-{e.probes}")
def test_it_is_the_sum_of_the_diagonal(name: str, estimator: Estimator) -> None:
    case = CASES[name]()
    if case.logits_fn is not None or not isinstance(estimator, GaussNewton):
        assert_agree(case, estimator)
        assert_agree(case, estimator, loss_scale=1024.0)


@pytest.mark.parametrize("use_reentrant", [None, False])
def test_parts_of_tied_and_recomputed_weights_add_up(use_reentrant: bool | None) -> None:
    case = transformer(dropout=0.3)
    case.model.checkpointed = use_reentrant
    assert_agree(case, Hutchinson())


def test_frozen_and_unused_parameters_have_no_part() -> None:
    case = mlp()
    case.model[2].requires_grad_(False)
    case.model.register_module("unused", nn.Linear(2, 2).double())
    case.loss_fn = lambda m, batch: functional.cross_entropy(m[:5](batch[0]), batch[1])
    assert_agree(case, Hutchinson(probes=2))


def test_under_autocast() -> None:
    case = mlp(examples=64)
    case.model.float()

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return functional.cross_entropy(model(batch[0].float()).float(), batch[1])

    # The parts of a weight's derivative meet in bfloat16 in either way.
    assert_agree(Case(case.model, case.batch, loss), Hutchinson(), rel=1e-6)


class Reused(nn.Module):
    """A weight that is used directly and through views, and a copy of it kept between steps."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4).double())
        self.kept = self.w.t()

    def forward(self, x: Tensor) -> Tensor:
        y = (x @ self.kept).tanh() @ self.w.T[None, :, :].reshape(4, 4)
        return (y @ self.w.view(2, 2, 4).permute(1, 0, 2).reshape(4, 4)) * self.w.sum()


def test_a_graph_that_the_model_keeps_is_handed_back_whole() -> None:
    torch.manual_seed(0)
    case = classification(Reused(), torch.randn(8, 4).double(), 4)

    def gradient() -> Tensor:
        case.model.zero_grad()
        case.loss_fn(case.model, case.batch).backward()
        return case.model.w.grad.clone()

    before = gradient()
    assert_agree(case, Hutchinson(probes=2))
    assert torch.equal(gradient(), before)


def test_a_parameters_own_hook_sees_the_whole_derivative() -> None:
    case = transformer()
    weight = case.model.embedding.weight
    weight.register_hook(lambda g: g * (g.abs() > g.abs().mean()))  # not linear: parts would show
    assert_agree(case, Hutchinson())


class Named(torch.autograd.Function):
    """Squares, with an attribute that hides the operation's own name."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.name = "square"
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2.0 * x * grad


def test_custom_functions_may_keep_what_they_like() -> None:
    case = mlp()
    plain, inner = case.loss_fn, case.model[1]
    case.model[1] = nn.Identity()

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        hidden = Named.apply(model[0](batch[0]))
        return functional.cross_entropy(model[2:](hidden), batch[1])

    assert_agree(Case(case.model, case.batch, loss), Hutchinson())
    case.model[1] = inner
    assert_agree(Case(case.model, case.batch, plain), Hutchinson())


def test_hutchinson_holds_less_than_the_weights() -> None:
    layers, width = 6, 256
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)), nn.Tanh())
    weights = sum(p.nbytes for p in model.parameters())
    batch = torch.randn(2, width)

    def estimate(diagonal: bool) -> int:
        return most_allocated(
            lambda: Hutchinson().estimate(
                *(model, batch, torch.Generator().manual_seed(0)),
                loss_fn=lambda m, x: m(x).square().mean(),
                diagonal=diagonal,
            )
        )

    estimate(False)
    # A quarter for the signs, two of the six layers for a part and its probe, and activations.
    assert estimate(False) < 0.7 * weights
    assert estimate(True) > 1.5 * weights
