"""An estimate leaves no trace in the training around it, to the bit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from robustlr.curvature import Estimator, FiniteDifference, GaussNewton, Hutchinson, SquaredGradient
from robustlr.errors import WorkloadError
from tests.curvature.problems import Case, classification, transformer

ESTIMATORS = [Hutchinson(probes=2), GaussNewton(probes=2), FiniteDifference(probes=2)]
EVERY = [*ESTIMATORS, SquaredGradient()]
COMPILES = (
    pytest.mark.skipif(sys.platform != "linux", reason="torch.compile is tried on Linux alone"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own, in the compiler
)


def noisy_net() -> Case:
    """BatchNorm moves buffers, dropout draws from the global generator."""
    torch.manual_seed(5)
    model = nn.Sequential(
        *(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    )
    return classification(model, torch.randn(8, 2, 6, 6), 3)


def dropping_transformer() -> Case:
    return transformer(dropout=0.5)


def checkpointed_transformer() -> Case:
    """Dropout masks are drawn again as the blocks are recomputed."""
    case = dropping_transformer()
    case.model.checkpointed = False  # not reentrant
    return case


def half_precision_net() -> Case:
    """CPU autocast to float16, with a factor on the loss and its copies of the weights."""
    case = noisy_net()
    plain = case.loss_fn

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.float16):
            return plain(model, batch)

    case.loss_fn = loss_fn
    return case


def train(
    case: Case,
    estimator: Estimator | None,
    *,
    diagonal: bool = True,
    steps: int = 6,
    scale: float = 1.0,
    compiled: bool = False,
) -> list[torch.Tensor]:
    seen = []
    optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale > 1.0)
    model = case.model
    if compiled:
        torch.compiler.reset()  # after eight models of a class it would run them eagerly
        model = torch.compile(model, backend="aot_eager")
    torch.manual_seed(11)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = case.loss_fn(model, case.batch)
        scaler.scale(loss).backward()
        if estimator is not None:
            estimator.estimate(
                *(model, case.batch, torch.Generator().manual_seed(1)),
                loss_fn=case.loss_fn,
                sample_loss_fn=case.sample_loss_fn,
                loss_scale=scale,
                diagonal=diagonal,
            )
        scaler.step(optimizer)
        scaler.update()
        seen.append(loss.detach())
    # The last of them: the global generator goes on where it would have been.
    return [*seen, *case.model.state_dict().values(), torch.rand(3)]


@pytest.mark.parametrize("estimator", EVERY, ids=lambda e: e.name)
@pytest.mark.parametrize(
    ("problem", "options"),
    [
        (noisy_net, {}),
        (dropping_transformer, {}),
        (checkpointed_transformer, {}),
        (half_precision_net, {"scale": 2.0**10}),
        pytest.param(noisy_net, {"compiled": True, "steps": 3}, marks=COMPILES),
    ],
    ids=["batch norm", "dropout", "checkpoints", "float16", "compiled"],
)
@pytest.mark.parametrize("diagonal", [True, False])
def test_training_is_bit_identical_with_the_estimator_on_or_off(
    problem: Callable[[], Case], options: dict[str, Any], estimator: Estimator, diagonal: bool
) -> None:
    without = train(problem(), None, **options)
    with_it = train(problem(), estimator, diagonal=diagonal, **options)
    for a, b in zip(without, with_it, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)
def test_gradients_and_modes_are_left_alone(estimator: Estimator) -> None:
    case = noisy_net()
    case.model[1].eval()
    held = [torch.randn_like(p) for p in case.model.parameters()]
    for p, gradient in zip(case.model.parameters(), held, strict=True):
        p.grad = gradient.clone()
    case.model[0].bias.grad = None
    estimator.estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(1)),
        loss_fn=case.loss_fn,
        sample_loss_fn=case.sample_loss_fn,
    )
    assert case.model[0].bias.grad is None
    for (name, p), gradient in zip(case.model.named_parameters(), held, strict=True):
        assert name == "0.bias" or torch.equal(p.grad, gradient)
    assert case.model.training
    assert not case.model[1].training


def test_weights_come_back_to_the_bit_when_the_loss_fails_half_way() -> None:
    case, calls = noisy_net(), iter(range(10))

    def failing(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        if next(calls) == 1:
            raise WorkloadError("out of data")
        return functional.cross_entropy(model(batch[0]), batch[1])

    before = [t.clone() for t in case.model.state_dict().values()]
    with pytest.raises(WorkloadError, match="out of data"):
        FiniteDifference().estimate(
            *(case.model, case.batch, torch.Generator().manual_seed(1)), loss_fn=failing
        )
    for a, b in zip(before, case.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_finite_difference_sees_one_dropout_mask() -> None:
    # With two masks, the difference of two gradients over 1e-6 would be in the millions.
    case = dropping_transformer()
    torch.manual_seed(3)
    estimate = FiniteDifference(distance=1e-6).estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(1)), loss_fn=case.loss_fn
    )
    torch.manual_seed(3)
    truth = Hutchinson().estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(1)), loss_fn=case.loss_fn
    )
    assert estimate.trace == pytest.approx(truth.trace, rel=1e-2)
