"""The moving average of the weights against torch's own, and what evaluation sees of it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from robustlr.records import RunStatus
from robustlr.training import train
from robustlr.training.averaging import WeightAverage
from robustlr.training.order import BatchOrder, mixed_seed
from tests.training.cells import digits_cell
from tests.training.models import ConvDigits, learner


def moved(model: nn.Module) -> None:
    """Something that training could do."""
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value += torch.randn_like(value)
            else:
                value += 1


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_equals_torchs_average(decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ours = WeightAverage(model, decay)
    fn = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    theirs = AveragedModel(model, multi_avg_fn=fn, use_buffers=False)
    statistics = copy.deepcopy(model[1].running_mean)
    for update in range(5):
        moved(model)
        ours.update()
        theirs.update_parameters(model)
        mean = model[1].running_mean
        statistics = mean.clone() if not update else decay * statistics + (1 - decay) * mean  # type: ignore[operator,union-attr]
    live = copy.deepcopy(model.state_dict())
    with ours.in_place_of_weights():
        for mine, reference in zip(model.parameters(), theirs.module.parameters(), strict=True):
            assert torch.equal(mine, reference)
        torch.testing.assert_close(model[1].running_mean, statistics)
        assert model[1].num_batches_tracked == 5
    for name, value in model.state_dict().items():
        assert torch.equal(value, live[name])


def test_state_and_back() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    first = WeightAverage(model, 0.9)
    for _ in range(3):
        moved(model)
        first.update()
    state = {
        "updates": first.state()["updates"],
        "average": copy.deepcopy(first.state()["average"]),
    }
    second = WeightAverage(model, 0.9)
    second.restore(state)
    moved(model)
    first.update()
    second.update()
    for name, value in first.state()["average"].items():
        assert torch.equal(second.state()["average"][name], value)


def test_half_precision_weights_are_averaged_in_single() -> None:
    model = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.zeros_(model.weight)
    average = WeightAverage(model, 0.999)
    average.update()
    nn.init.ones_(model.weight)
    for _ in range(100):  # steps of 0.001 are lost in bfloat16 near 0.1
        average.update()
    assert float(average.state()["average"]["weight"]) == pytest.approx(1 - 0.999**100)


def test_evaluation_is_that_of_the_average_and_training_does_not_notice() -> None:
    options = {"num_steps": 12, "log_every": 1, "eval_every": 4}
    _, plain = train(digits_cell("fixed", **options), ConvDigits())  # type: ignore[arg-type]
    record, averaged = train(digits_cell("fixed", **options, ema_decay=0.9), ConvDigits())  # type: ignore[arg-type]
    assert record.status is RunStatus.COMPLETED
    assert averaged["train_loss"].to_list() == plain["train_loss"].to_list()
    assert averaged["valid_loss"][0] == plain["valid_loss"][0]

    cell, workload = digits_cell("fixed", **options), ConvDigits()  # type: ignore[arg-type]
    by_hand = learner(cell, workload)
    slow: dict[str, torch.Tensor] = {}
    torch.manual_seed(mixed_seed(0, 0))
    order, examples = BatchOrder(1000, 64, 0), workload.examples("train", 0)
    for step in range(12):
        by_hand.backward([examples.batch(order.batch(step))], stop=lambda: False)
        by_hand.apply(1.0, step)
        for name, value in by_hand.bare_model.state_dict().items():
            new = value.clone()
            slow[name] = 0.9 * slow[name] + 0.1 * new if step and new.is_floating_point() else new
    model = workload.model(0)
    model.load_state_dict(slow)
    model.eval()
    with torch.no_grad():
        valid = float(workload.loss(model, workload.examples("valid", 0).batch(torch.arange(398))))
    assert averaged["valid_loss"][-1] == pytest.approx(valid, rel=1e-5)
    assert averaged["valid_loss"][-1] != plain["valid_loss"][-1]


def test_a_decay_of_almost_nothing_is_no_average() -> None:
    _, plain = train(digits_cell(num_steps=6), ConvDigits())
    _, averaged = train(digits_cell(num_steps=6, ema_decay=1e-9), ConvDigits())
    assert averaged["valid_loss"].to_list() == pytest.approx(plain["valid_loss"].to_list())
