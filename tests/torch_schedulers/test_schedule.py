"""Any schedule in a plain PyTorch loop: the lr of a study, however ``step`` is called."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from robustlr.errors import SpecError
from robustlr.schedules import Fixed, Warmup, parse
from robustlr.torch_schedulers import ScheduleLR

PURE = ["fixed", "cosine", "linear", "polynomial:degree=2", "wsd", "inverse_sqrt", "cosine+warmup"]
T = 12


def make(lr: float = 0.3) -> SGD:
    return SGD([nn.Parameter(torch.zeros(2))], lr=lr)


def update(optimizer: Optimizer) -> float:
    """One real update; the learning rate it was made with."""
    lr = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.ones_like(weight)
    optimizer.step()
    return lr


def before(optimizer: Optimizer, step: Callable[[], None]) -> float:
    step()
    return update(optimizer)


def after(optimizer: Optimizer, step: Callable[[], None]) -> float:
    lr = update(optimizer)
    step()
    return lr


def repeatedly(optimizer: Optimizer, step: Callable[[], None]) -> float:
    for _ in range(3):  # as for micro-batches
        step()
    lr = update(optimizer)
    for _ in range(2):  # as Accelerate does with two processes
        step()
    return lr


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("order", [before, after, repeatedly])
def test_every_update_has_its_own_lr_in_any_order(
    name: str, order: Callable[[Optimizer, Callable[[], None]], float]
) -> None:
    optimizer = make()
    scheduler = ScheduleLR(optimizer, name, num_steps=T)
    lrs = [order(optimizer, scheduler.step) for _ in range(T)]
    multipliers = parse(name).multiplier(range(T), T)  # type: ignore[attr-defined]
    assert lrs == [0.3 * m for m in multipliers.tolist()]


def test_an_update_that_is_not_made_does_not_count() -> None:
    optimizer = make()
    scheduler = ScheduleLR(optimizer, "linear", num_steps=4)
    update(optimizer)
    for _ in range(5):  # float16 scaling skips these
        scheduler.step()
    assert scheduler.updates == 1
    assert update(optimizer) == 0.3 * 0.75


def test_after_the_horizon_the_last_multiplier_stays() -> None:
    optimizer = make()
    scheduler = ScheduleLR(optimizer, "cosine", num_steps=3)
    lrs = [before(optimizer, scheduler.step) for _ in range(6)]
    assert lrs[3:] == [0.0, 0.0, 0.0]


def test_each_group_keeps_its_own_peak_also_when_added_later() -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    optimizer = SGD([{"params": weights[:1], "lr": 1.0}, {"params": weights[1:2], "lr": 0.1}])
    scheduler = ScheduleLR(optimizer, "linear", num_steps=4)
    before(optimizer, scheduler.step)
    optimizer.add_param_group({"params": weights[2:], "lr": 0.01})
    before(optimizer, scheduler.step)
    assert scheduler.get_last_lr() == pytest.approx([0.75, 0.075, 0.0075])
    assert [group["lr"] for group in optimizer.param_groups] == scheduler.get_last_lr()


def test_a_tensor_lr_stays_the_same_tensor() -> None:
    optimizer = AdamW([nn.Parameter(torch.zeros(1))], lr=torch.tensor(0.5), capturable=False)
    held = optimizer.param_groups[0]["lr"]
    scheduler = ScheduleLR(optimizer, "linear", num_steps=4)
    for _ in range(2):
        before(optimizer, scheduler.step)
    assert optimizer.param_groups[0]["lr"] is held
    assert float(held) == 0.375


@pytest.mark.parametrize("name", ["cosine", "cosine+warmup=0.5", "linear"])
@pytest.mark.parametrize("order", [before, after])
def test_a_resumed_run_goes_on_through_json(
    name: str, order: Callable[[Optimizer, Callable[[], None]], float]
) -> None:
    optimizer = make()
    scheduler = ScheduleLR(optimizer, name, num_steps=T)
    whole = [order(optimizer, scheduler.step) for _ in range(T)]

    optimizer = make()
    scheduler = ScheduleLR(optimizer, name, num_steps=T)
    parts = [order(optimizer, scheduler.step) for _ in range(5)]
    saved = json.loads(json.dumps([scheduler.state_dict(), optimizer.state_dict()]))
    optimizer = make()
    scheduler = ScheduleLR(optimizer, name, num_steps=T)
    optimizer.load_state_dict(saved[1])
    scheduler.load_state_dict(saved[0])
    assert scheduler.updates == 5
    parts += [order(optimizer, scheduler.step) for _ in range(T - 5)]
    assert parts == whole


def test_the_state_of_another_scheduler_is_refused() -> None:
    state = ScheduleLR(make(), "cosine", num_steps=T).state_dict()
    with pytest.raises(SpecError, match=r"that of 'cosine' over 12 updates, .* 'linear' over 12"):
        ScheduleLR(make(), "linear", num_steps=T).load_state_dict(state)
    with pytest.raises(SpecError, match=r"over 12 updates, .* over 13"):
        ScheduleLR(make(), "cosine", num_steps=T + 1).load_state_dict(state)
    two = SGD([{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(2)], lr=0.1)
    with pytest.raises(SpecError, match="1 parameter groups, the optimizer has 2"):
        ScheduleLR(two, "cosine", num_steps=T).load_state_dict(state)


def test_a_foreign_state_is_one_clear_line() -> None:
    optimizer = make()
    theirs = torch.optim.lr_scheduler.LambdaLR(make(), lambda step: 1.0).state_dict()
    scheduler = ScheduleLR(optimizer, "cosine", num_steps=T)
    before_it = scheduler.state_dict()
    for foreign in (theirs, {}):
        with pytest.raises(SpecError, match="no state of a ScheduleLR: it lacks schedule, num_s"):
            scheduler.load_state_dict(foreign)
    assert scheduler.state_dict() == before_it


@pytest.mark.parametrize(
    ("num_steps", "message"),
    [
        (0, "num_steps must be at least 1, got 0"),
        (10.5, r"num_steps must be a whole number \(an int\), got 10.5"),
        (math.nan, r"num_steps must be a whole number \(an int\), got nan"),
    ],
)
def test_a_bad_horizon_is_refused(num_steps: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ScheduleLR(make(), "cosine", num_steps=num_steps)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(SpecError, match="a torch optimizer is needed, got list"):
        ScheduleLR([], "cosine", num_steps=1)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="did you mean 'cosine'"):
        ScheduleLR(make(), "cosin", num_steps=1)
    with pytest.raises(SpecError, match="use CurvatureAdaptiveLR"):
        ScheduleLR(make(), "curvature_adaptive+warmup", num_steps=1)


def test_a_schedule_may_be_an_object_a_table_or_a_name() -> None:
    for schedule in (
        Warmup(warmup_fraction=0.2, then=Fixed()),
        {"kind": "warmup", "warmup_fraction": 0.2, "then": {"kind": "fixed"}},
        "fixed+warmup=0.2",
    ):
        assert ScheduleLR(make(), schedule, num_steps=10).get_last_lr() == [0.3 / 3]


def test_a_nan_is_never_set() -> None:
    scheduler = ScheduleLR(make(), "cosine", num_steps=T)
    scheduler.step(loss=math.nan)
    assert scheduler.get_last_lr() == [0.3]


def test_a_loss_may_be_a_number_or_carry_its_graph() -> None:
    weight = nn.Parameter(torch.ones(1))
    schedulers = [ScheduleLR(SGD([weight], lr=0.3), "auto_warmup", num_steps=T) for _ in range(2)]
    schedulers[0].step(loss=(2.0 * weight).sum())
    schedulers[1].step(loss=2.0)
    assert schedulers[0].state_dict() == schedulers[1].state_dict()
    assert schedulers[0].state_dict()["decided"] == 0
