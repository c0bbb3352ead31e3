"""The closed forms, by Monte Carlo; the loop, against projected SGD written out by hand."""

import math

import numpy as np
import pytest
import torch

from robustlr.errors import SpecError
from robustlr.schedules import Cosine
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.training.order import BatchOrder
from robustlr.workloads import build_workload
from robustlr.workloads.absolute_regression import AbsoluteRegression

SMALL = AbsoluteRegression(dim=4, noise=0.5, samples=200_000)


def at(weights: torch.Tensor) -> torch.nn.Module:
    model = SMALL.model(0)
    model.weight.data.copy_(weights)
    return model


@pytest.mark.parametrize("scale", [0.0, 0.7, 2.0])
def test_the_objective_is_the_mean_loss_of_a_long_stream(scale: float) -> None:
    model = at(scale * SMALL.target)
    train_split, valid = SMALL.examples("train", 0), SMALL.examples("valid", 0)
    everything = train_split.batch(torch.arange(len(train_split)))
    loss, excess = SMALL.evaluate(model, valid, torch.arange(len(valid)))
    assert float(SMALL.loss(model, everything).detach()) == pytest.approx(loss, rel=0.01)
    assert excess == pytest.approx(loss - SMALL.optimum_loss, abs=1e-15)


def test_the_facts_that_the_theory_needs() -> None:
    assert float(SMALL.target.norm()) == pytest.approx(0.5)
    valid, one = SMALL.examples("valid", 0), torch.arange(1)
    assert SMALL.evaluate(at(SMALL.target), valid, one) == (SMALL.optimum_loss, 0.0)
    assert SMALL.evaluate(SMALL.model(3), valid, one)[0] == pytest.approx(SMALL.chance_loss)
    inputs, _ = SMALL.examples("train", 0).batch(torch.arange(100_000))
    assert float(inputs.square().sum(dim=1).mean()) == pytest.approx(1.0, rel=0.02)  # E‖g‖²


def test_a_tiny_excess_keeps_its_digits() -> None:
    step = 1e-9 * torch.ones(4, dtype=torch.float64)
    _, excess = SMALL.evaluate(at(SMALL.target + step), SMALL.examples("valid", 0), torch.arange(1))
    # f″ at x*: the excess is √(2/(πd))·‖x − x*‖²/(2σ)
    assert excess == pytest.approx(math.sqrt(2 / (4 * math.pi)) * 4e-18 / (2 * 0.5), rel=1e-6)


def test_streams_differ_between_seeds_and_not_between_calls() -> None:
    first, again, other = (SMALL.examples("train", seed).tensors[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("lr_exponent", ["-2", "1/2"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_loop_is_projected_sgd_written_out(lr_exponent: str, batch_size: int) -> None:
    spec = WorkloadSpec(kind="absolute_regression", options={"dim": 6, "samples": 128})
    cell = Cell(
        workload=spec,
        optimizer=SGD(),
        schedule=Cosine(),
        batch_size=batch_size,
        num_steps=100,
        lr_exponent=lr_exponent,
        seed=5,
        training=TrainingSpec(eval_every=20),
    )
    workload = build_workload(spec)
    record, curve = train(cell, workload)

    inputs, labels = (tensor.numpy() for tensor in workload.examples("train", 5).tensors)
    order = BatchOrder(128, batch_size, 5)
    target = workload.target.numpy()  # type: ignore[attr-defined]
    x, excess = np.zeros(6), {0: 0.25}
    for step in range(100):
        a, y = (values[order.batch(step).numpy()] for values in (inputs, labels[:, 0]))
        gradient = (np.sign(a @ x - y)[:, None] * a).mean(axis=0)
        x = x - cell.peak_lr * (1 + math.cos(math.pi * step / 100)) / 2 * gradient
        x = x / max(1.0, float(np.linalg.norm(x)))
        excess[step + 1] = float(np.sum((x - target) ** 2))
    c, noise = math.sqrt(2 / (6 * math.pi)), 0.1
    for step, metric in curve.select("step", "valid_metric").iter_rows():
        by_hand = c * (math.sqrt(excess[step] + noise**2) - noise)
        assert metric == pytest.approx(by_hand, rel=1e-7)
    assert record.summary.valid_metric == pytest.approx(metric)
    assert record.facts.optimum_loss == pytest.approx(c * noise)


@pytest.mark.parametrize(
    "options", [{"dim": 0}, {"samples": 0}, {"noise": 0.0}, {"noise": math.nan}, {"noise": -1.0}]
)
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        build_workload(WorkloadSpec(kind="absolute_regression", options=options))
