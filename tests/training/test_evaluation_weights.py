"""Optimizers that are evaluated at other weights: against the published formulas, unnoticed."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import pytest
import pytorch_optimizer
import torch
from torch import Tensor, nn

from robustlr.specs import Cell, FactoryOptimizer, OptimizerSpec, PytorchOptimizer
from robustlr.training import train
from robustlr.training.evaluation_weights import begin_training, evaluation_weights
from robustlr.training.order import BatchOrder
from robustlr.workloads import build_workload
from tests.training.cells import digits_cell

STEPS, LR = 30, 0.1
SWITCHING = ("ScheduleFreeAdamW", "ScheduleFreeRAdam", "ScheduleFreeSGD", "SPlus")


def cell_of(optimizer: OptimizerSpec | str, **options: Any) -> Cell:
    spec = PytorchOptimizer(name=optimizer) if isinstance(optimizer, str) else optimizer
    return digits_cell("fixed", num_steps=STEPS, optimizer=spec, **options)


def valid_and_test_losses(cell: Cell) -> tuple[list[float], float, float]:
    record, curve = train(cell, build_workload(cell.workload))
    assert record.summary.valid_loss is not None
    assert record.summary.test_loss is not None
    losses = curve["train_loss"].drop_nulls().to_list()
    return losses, record.summary.valid_loss, record.summary.test_loss


class ByHand:
    """The model of a cell, its gradients at any weights and its losses, one obvious step a time."""

    def __init__(self, cell: Cell) -> None:
        torch.manual_seed(cell.seed)
        self.cell, self.workload = cell, build_workload(cell.workload)
        self.model = self.workload.model(cell.seed)
        self.order = BatchOrder(1000, 64, cell.seed)
        self.train = self.workload.examples("train", cell.seed)

    def weights(self) -> list[Tensor]:
        return [weight.detach().clone() for weight in self.model.parameters()]

    def put(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self.model.parameters(), weights, strict=True):
                weight.copy_(value)

    def gradient(self, step: int) -> list[Tensor]:
        self.model.train()
        self.model.zero_grad()
        loss = self.workload.loss(self.model, self.train.batch(self.order.batch(step)))
        loss.backward()  # type: ignore[no-untyped-call]
        return [weight.grad.clone() for weight in self.model.parameters()]  # type: ignore[union-attr]

    def losses(self) -> tuple[float, float]:
        self.model.eval()
        found = []
        for split in ("valid", "test"):
            examples = self.workload.examples(split, self.cell.seed)
            with torch.no_grad():
                total, _ = self.workload.evaluate(self.model, examples, torch.arange(len(examples)))
            found.append(float(total) / len(examples))
        return found[0], found[1]


def mixed(a: list[Tensor], b: list[Tensor], share: float) -> list[Tensor]:
    """(1 − share)·a + share·b."""
    return [(1.0 - share) * u + share * v for u, v in zip(a, b, strict=True)]


@pytest.mark.parametrize("ema_decay", [None, 0.8])
def test_schedule_free_sgd_is_evaluated_at_its_average(ema_decay: float | None) -> None:
    beta = 0.9
    cell = cell_of("ScheduleFreeSGD", ema_decay=ema_decay)
    _, *recorded = valid_and_test_losses(cell)
    by_hand = ByHand(cell)
    x = z = by_hand.weights()
    moving: list[Tensor] = []
    for t in range(STEPS):
        by_hand.put(mixed(z, x, beta))  # y
        z = [w - LR * g for w, g in zip(z, by_hand.gradient(t), strict=True)]
        x = mixed(x, z, 1.0 / (t + 1))
        moving = mixed(moving, x, 1.0 - ema_decay) if moving and ema_decay else x
    by_hand.put(moving)
    assert recorded == pytest.approx(by_hand.losses(), rel=1e-4)
    by_hand.put(mixed(z, x, beta))
    assert recorded != pytest.approx(by_hand.losses(), rel=1e-3)  # where it trains


def test_splus_is_evaluated_at_its_average() -> None:
    decay = 0.9
    options = {"ema_rate": decay, "weight_decay": 0.0}
    cell = cell_of(PytorchOptimizer(name="SPlus", options=options))
    _, *recorded = valid_and_test_losses(cell)
    by_hand = ByHand(cell)
    weights = list(by_hand.model.parameters())
    optimizer = pytorch_optimizer.load_optimizer("splus")(weights, lr=LR, **options)
    average = [torch.zeros_like(weight) for weight in weights]
    for t in range(STEPS):
        by_hand.gradient(t)
        optimizer.step()
        average = mixed(average, by_hand.weights(), 1.0 - decay)
    by_hand.put([mean / (1.0 - decay**STEPS) for mean in average])
    assert recorded == pytest.approx(by_hand.losses(), rel=1e-4)


@pytest.mark.parametrize("name", SWITCHING)
def test_training_does_not_notice_how_often_it_is_evaluated(name: str) -> None:
    often = valid_and_test_losses(cell_of(name, eval_every=1, log_every=1))
    seldom = valid_and_test_losses(cell_of(name, eval_every=STEPS, log_every=1))
    assert often == seldom


def test_the_weights_inside_are_the_optimizers_and_afterwards_the_same_to_the_bit() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(5, 3))
    optimizer = pytorch_optimizer.load_optimizer("schedulefreesgd")([weight], lr=LR)
    for _ in range(3):
        weight.grad = torch.randn(5, 3)
        optimizer.step()
    y, z = weight.detach().clone(), optimizer.state[weight]["z"].clone()
    with suppress(KeyError), evaluation_weights(optimizer, [weight]):
        torch.testing.assert_close(weight.detach(), (y - 0.1 * z) / 0.9)
        raise KeyError  # what ends an evaluation half way
    assert torch.equal(weight, y)
    weight.grad = torch.randn(5, 3)
    optimizer.step()  # it is training again


def test_before_the_first_update_there_is_nothing_to_exchange() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    splus = pytorch_optimizer.load_optimizer("splus")([weight], lr=LR)  # cannot be asked yet
    with evaluation_weights(splus, [weight]):
        assert torch.equal(weight, torch.ones(2, 2))


@pytest.mark.parametrize("missing", ["eval", "train"])
def test_an_optimizer_with_one_of_the_methods_alone_is_left_alone(missing: str) -> None:
    def never() -> None:
        raise AssertionError

    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=LR, momentum=0.9)
    setattr(optimizer, "train" if missing == "eval" else "eval", never)
    weight.grad = torch.ones(2)
    optimizer.step()
    begin_training(optimizer)
    with evaluation_weights(optimizer, [weight]):
        pass


def wrapped(weights: list[Tensor], *, lr: float) -> torch.optim.Optimizer:
    """Refuses an update before it is told that training begins."""
    return pytorch_optimizer.ScheduleFreeWrapper(torch.optim.SGD(weights, lr=lr))


def test_an_optimizer_that_must_be_told_that_training_begins_is() -> None:
    cell = cell_of(FactoryOptimizer(factory=f"{__name__}:wrapped"))
    _, *losses = valid_and_test_losses(cell)
    same = dataclasses.replace(cell, optimizer=PytorchOptimizer(name="ScheduleFreeSGD"))
    assert losses == pytest.approx(valid_and_test_losses(same)[1:], rel=1e-4)
