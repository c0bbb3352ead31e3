"""Automated warmup in a plain PyTorch loop."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustlr.errors import SpecError
from robustlr.schedules import AutoWarmup, Feedback
from robustlr.torch_schedulers import AutoWarmupLR
from tests.curvature.two_ranks import on_two_ranks

T = 400


class Regression:
    """Noisy least squares in four dimensions, stable below a learning rate of about 0.5."""

    def __init__(self, lr: float, num_steps: int = T) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.ones(4))
        self.optimizer = torch.optim.SGD([self.weight], lr=lr)
        self.scheduler = AutoWarmupLR(self.optimizer, num_steps=num_steps)

    def updates(self, count: int) -> Iterator[tuple[float, float]]:
        """Loss and learning rate of each update."""
        for _ in range(count):
            loss = self._loss()
            self.optimizer.zero_grad()
            loss.backward()
            self.scheduler.step(loss)
            if self.scheduler.finite:
                self.optimizer.step()
            yield loss.item(), self.optimizer.param_groups[0]["lr"]

    def _loss(self) -> Tensor:
        x = torch.randn(16, 4, generator=self.generator)
        noise = 0.3 * torch.randn(16, generator=self.generator)
        return ((x @ self.weight - x[:, 0] - noise) ** 2).mean()


def test_the_lr_is_the_schedules_on_these_losses() -> None:
    problem = Regression(100.0)
    schedule = AutoWarmup()
    state = schedule.init(T)
    for step, (loss, lr) in enumerate(problem.updates(T)):
        state = schedule.update(state, Feedback(step, loss))
        assert lr == 100.0 * schedule.multiplier(state)
    assert problem.scheduler.outcome == schedule.outcome(state)
    assert not problem.scheduler.warming_up


@pytest.mark.parametrize("highest", [10.0, 100.0, 1e3, 1e4])
def test_the_result_hardly_depends_on_the_highest_lr(highest: float) -> None:
    problem = Regression(highest)
    losses = [loss for loss, _ in problem.updates(T)]
    after = problem.scheduler.outcome["warmup_multiplier"]
    assert isinstance(after, float)
    assert highest * after < 1.0
    assert sum(losses[-50:]) / 50 < 2.0 * 0.3**2


@pytest.mark.parametrize("stop", [0, 40, 120, 130, 250])
def test_resume_in_any_phase_goes_on_identically(stop: int) -> None:
    whole, first, second = Regression(100.0), Regression(100.0), Regression(100.0)
    expected = list(whole.updates(T))
    begun = list(first.updates(stop))
    second.scheduler.load_state_dict(json.loads(json.dumps(first.scheduler.state_dict())))
    second.generator.set_state(first.generator.get_state())
    with torch.no_grad():
        second.weight.copy_(first.weight)
    assert begun + list(second.updates(T - stop)) == expected


def on_a_rank(rank: int) -> tuple[list[float], list[float], str]:
    """Losses, learning rates and final state of a loop with batches of this rank's own."""
    problem = Regression(100.0)
    problem.generator.manual_seed(rank)
    losses, lrs = zip(*problem.updates(T), strict=True)
    return list(losses), list(lrs), json.dumps(problem.scheduler.state_dict())


@pytest.mark.slow
def test_ranks_with_losses_of_their_own_agree(tmp_path: Path) -> None:
    (first, lrs, state), (second, other_lrs, other_state) = on_two_ranks(on_a_rank, tmp_path)
    assert first != second
    assert lrs == other_lrs
    assert state == other_state
    schedule = AutoWarmup()
    expected = schedule.init(T)
    for step, pair in enumerate(zip(first, second, strict=True)):
        expected = schedule.update(expected, Feedback(step, sum(pair) / 2))
        assert lrs[step] == 100.0 * schedule.multiplier(expected)
    assert expected.switch_step is not None


def left_out(rank: int) -> tuple[list[bool], int]:
    """`finite` after every update where the first rank alone loses one; the updates made."""
    problem, seen = Regression(100.0), []
    for step in range(40):
        spoilt = step == 20 and rank == 0
        loss = problem._loss() * (math.inf if spoilt else 1.0)
        problem.optimizer.zero_grad()
        loss.backward()
        problem.scheduler.step(loss)
        seen.append(problem.scheduler.finite)
        if problem.scheduler.finite:
            problem.optimizer.step()
    return seen, problem.scheduler.updates


@pytest.mark.slow
def test_ranks_leave_out_the_same_update(tmp_path: Path) -> None:
    expected = ([step != 20 for step in range(40)], 39)
    assert on_two_ranks(left_out, tmp_path) == [expected, expected]


def test_a_loss_that_is_not_finite_ends_the_warmup() -> None:
    problem = Regression(100.0)
    list(problem.updates(50))
    assert problem.scheduler.warming_up
    problem.scheduler.step(math.nan)
    assert problem.scheduler.outcome["warmup_reason"] == "non_finite_loss"
    assert not problem.scheduler.finite
    assert problem.optimizer.param_groups[0]["lr"] <= 100.0 * 1e-5**0.75


def test_another_schedule_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(SpecError, match="'cosine' is no auto_warmup: use ScheduleLR"):
        AutoWarmupLR(optimizer, num_steps=10, schedule="cosine")


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (None, "None"),
        ("2.3", "'2.3'"),
        ([1.0], r"\[1.0\]"),
        (torch.ones(3), r"a tensor of shape \(3,\)"),
        (torch.ones(0), r"a tensor of shape \(0,\)"),
    ],
)
def test_a_loss_that_is_no_number_is_refused(loss: object, got: str) -> None:
    scheduler = Regression(100.0).scheduler
    with pytest.raises(SpecError, match=f"mean training loss, one number; got {got}$"):
        scheduler.step(loss)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", [2, np.float32(2.0), torch.tensor([2.0]), torch.tensor(2)])
def test_any_one_number_is_a_loss(loss: float | Tensor) -> None:
    scheduler = Regression(100.0).scheduler
    scheduler.step(loss)
    plain = Regression(100.0).scheduler
    plain.step(2.0)
    assert scheduler.state_dict() == plain.state_dict()
