"""The loop against a bare PyTorch loop, and what it writes down."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from robustlr.records import CURVE_SCHEMA, RunRecord, RunStatus
from robustlr.schedules import parse, schedule_types
from robustlr.specs import SGD, Adam, AdamW, Cell, FactoryOptimizer, OptimizerSpec
from robustlr.training import train
from robustlr.training.learner import Learner
from robustlr.training.order import BatchOrder
from robustlr.workloads import build_workload, code_hash
from tests.training.cells import REGRESSION, digits_cell, sample_cell
from tests.workloads.samples import Regression


def trained(cell: Cell) -> tuple[RunRecord, pl.DataFrame]:
    return train(cell, build_workload(cell.workload))


def timeless(curve: pl.DataFrame) -> pl.DataFrame:
    return curve.drop("wall_seconds")


def bare_optimizer(
    spec: OptimizerSpec, parameters: list[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    match spec:
        case SGD():
            return torch.optim.SGD(
                parameters,
                momentum=spec.momentum,
                nesterov=spec.nesterov,
                weight_decay=spec.weight_decay,
            )
        case Adam():
            return torch.optim.Adam(parameters, betas=(spec.beta1, spec.beta2))
        case AdamW():
            return torch.optim.AdamW(parameters, weight_decay=spec.weight_decay)
    raise AssertionError(spec)


def bare_losses(cell: Cell, clip_norm: float | None = None) -> tuple[list[float], float, float]:
    """Every update's loss, and final validation loss and error, by the plainest loop there is."""
    workload = build_workload(cell.workload)
    torch.manual_seed(cell.seed)
    model = workload.model(cell.seed)
    optimizer = bare_optimizer(cell.optimizer, list(model.parameters()))
    inputs, labels = workload.examples("train", cell.seed).tensors  # type: ignore[attr-defined]
    order = BatchOrder(len(inputs), cell.batch_size, cell.seed)
    losses = []
    for step in range(cell.num_steps):
        batch = order.batch(step)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
        loss.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = cell.peak_lr * float(
                cell.schedule.multiplier(step, cell.num_steps)  # type: ignore[attr-defined]
            )
        optimizer.step()
        losses.append(float(loss.detach()))
    inputs, labels = workload.examples("valid", cell.seed).tensors  # type: ignore[attr-defined]
    model.eval()
    with torch.no_grad():
        logits = model(inputs).double()
    error = float((logits.argmax(dim=1) != labels).double().mean())
    return losses, float(torch.nn.functional.cross_entropy(logits, labels)), error


@pytest.mark.parametrize(
    "optimizer",
    [SGD(), SGD(momentum=0.9, nesterov=True, weight_decay=1e-3), Adam(), AdamW()],
    ids=lambda optimizer: optimizer.kind,
)
@pytest.mark.parametrize("schedule", ["fixed", "cosine", "linear+warmup=0.2"])
def test_equals_a_bare_loop_bit_for_bit(optimizer: OptimizerSpec, schedule: str) -> None:
    cell = digits_cell(schedule, optimizer=optimizer, seed=3, log_every=1)
    record, curve = trained(cell)
    losses, valid_loss, valid_error = bare_losses(cell)
    assert curve["train_loss"].to_list()[1:] == losses
    assert record.summary.valid_loss == valid_loss
    assert record.summary.valid_metric == pytest.approx(valid_error, abs=1e-15)


def test_clipping_equals_a_bare_loop_bit_for_bit() -> None:
    cell = digits_cell(clip_norm=0.1, log_every=1)
    _, curve = trained(cell)
    losses, _, _ = bare_losses(cell, clip_norm=0.1)
    assert curve["train_loss"].to_list()[1:] == losses
    assert losses != bare_losses(cell)[0]
    # the norm that is shown is the gradient's own, before clipping
    assert curve["grad_norm"][1] > 0.1


def test_the_same_cell_twice_is_the_same_to_the_bit() -> None:
    first, second = (trained(digits_cell(seed=5)) for _ in range(2))
    assert_frame_equal(timeless(first[1]), timeless(second[1]), check_exact=True)


def test_random_state_around_a_run_does_not_matter() -> None:
    cell = sample_cell("tests.workloads.samples:WithDropout", log_every=1)
    _, first = trained(cell)
    torch.rand(17)
    np.random.default_rng(0).random(3)
    _, second = trained(cell)
    assert_frame_equal(timeless(first), timeless(second), check_exact=True)


def test_seeds_differ_and_schedules_share_start_and_batches() -> None:
    (_, first), (_, other) = (trained(digits_cell(seed=seed, log_every=1)) for seed in (0, 1))
    assert first["valid_loss"][0] != other["valid_loss"][0]
    _, fixed = trained(digits_cell("fixed", seed=0, log_every=1))
    assert first["valid_loss"][0] == fixed["valid_loss"][0]
    # the first update's loss is that of the same weights on the same batch
    assert first["train_loss"][1] == fixed["train_loss"][1]


@pytest.mark.parametrize("schedule", ["fixed", "cosine", "polynomial:degree=2+warmup", "wsd"])
def test_the_lr_written_down_is_the_one_applied(schedule: str) -> None:
    cell = digits_cell(schedule, num_steps=30, log_every=1)
    _, curve = trained(cell)
    expected = cell.peak_lr * parse(schedule).multiplier(np.arange(30), 30)  # type: ignore[attr-defined]
    assert curve["lr"][0] is None
    assert curve["lr"][1:].to_list() == pytest.approx(expected.tolist(), rel=1e-15)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "polynomial:degree=2", "wsd"])
def test_annealed_schedules_end_one_update_from_zero(schedule: str) -> None:
    cell = digits_cell(schedule, num_steps=50)
    _, curve = trained(cell)
    shape = parse(schedule)
    assert curve["lr"][-1] == cell.peak_lr * float(shape.multiplier(49, 50))  # type: ignore[attr-defined]
    assert 0.0 < curve["lr"][-1] < 0.11 * cell.peak_lr
    assert float(shape.multiplier(50, 50)) == 0.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(set(schedule_types()) - {"warmup"}))
def test_every_schedule_trains(kind: str) -> None:
    schedule = kind if kind == "auto_warmup" else f"{kind}+warmup"
    record, curve = trained(digits_cell(schedule, num_steps=20, log_every=1))
    assert record.status is RunStatus.COMPLETED
    share = curve["lr"].drop_nulls() / record.cell.peak_lr
    assert share.is_between(0.0, 1.0).all()
    assert record.summary.valid_loss < record.summary.initial_valid_loss  # type: ignore[operator]


@pytest.mark.parametrize("accumulation_steps", [2, 4, 16])
def test_accumulation_changes_rounding_and_nothing_else(accumulation_steps: int) -> None:
    _, whole = trained(digits_cell(log_every=1))
    _, parts = trained(digits_cell(log_every=1, accumulation_steps=accumulation_steps))
    assert_frame_equal(timeless(whole), timeless(parts), rel_tol=1e-4, abs_tol=1e-6)
    assert whole["lr"].to_list() == parts["lr"].to_list()
    assert whole["example_passes"].to_list() == parts["example_passes"].to_list()


def test_bf16_trains_and_differs_and_fp32_still_works_after_it() -> None:
    _, full = trained(digits_cell())
    record, half = trained(digits_cell(precision="bf16"))
    _, again = trained(digits_cell())
    assert record.status is RunStatus.COMPLETED
    assert half["valid_loss"][-1] != full["valid_loss"][-1]
    assert half["valid_loss"][-1] == pytest.approx(full["valid_loss"][-1], rel=0.1)
    assert_frame_equal(timeless(full), timeless(again), check_exact=True)


@pytest.mark.parametrize(("eval_every", "log_every"), [(7, 0), (7, 3), (100, 0), (5, 1), (1, 0)])
def test_rows_are_where_the_spec_says(eval_every: int, log_every: int) -> None:
    _, curve = trained(digits_cell(num_steps=20, eval_every=eval_every, log_every=log_every))
    evaluated = {0, 20, *range(0, 20, eval_every)}
    logged = evaluated | (set(range(0, 20, log_every)) if log_every else set())
    assert curve["step"].to_list() == sorted(logged)
    seen = curve.filter(pl.col("valid_loss").is_not_null())["step"].to_list()
    assert seen == sorted(evaluated)
    for name in ("test_loss", "valid_metric", "test_metric"):
        assert curve[name].is_null().to_list() == curve["valid_loss"].is_null().to_list()
    assert curve["grad_norm"].is_null().to_list() == [True] + [False] * (len(logged) - 1)
    assert dict(curve.schema) == CURVE_SCHEMA


def test_train_loss_is_the_mean_since_the_row_before() -> None:
    _, every = trained(digits_cell(num_steps=20, log_every=1))
    _, some = trained(digits_cell(num_steps=20, eval_every=8))
    losses = every["train_loss"].to_list()[1:]
    means = [
        sum(losses[start:end]) / (end - start)
        for start, end in itertools.pairwise(some["step"].to_list())
    ]
    assert some["train_loss"].to_list()[1:] == pytest.approx(means, rel=1e-12)


def test_costs_are_counted_in_example_passes() -> None:
    cell = digits_cell(num_steps=20, batch_size=50, eval_every=10)
    record, curve = trained(cell)
    assert curve["example_passes"].to_list() == [0.0, 500.0, 1000.0]
    per_evaluation = (398 + 399) / 3
    assert curve["evaluation_passes"].to_list() == pytest.approx(
        [per_evaluation, 2 * per_evaluation, 3 * per_evaluation]
    )
    assert curve["curvature_passes"].to_list() == [0.0, 0.0, 0.0]
    assert curve["wall_seconds"].is_sorted()
    assert record.summary.example_passes == 1000.0
    assert record.summary.steps == 20


def test_the_gradient_norm_is_that_of_the_update() -> None:
    cell = digits_cell(num_steps=1, log_every=1)
    _, curve = trained(cell)
    workload = build_workload(cell.workload)
    torch.manual_seed(cell.seed)
    model = workload.model(cell.seed)
    batch = workload.examples("train", 0).batch(BatchOrder(1000, 64, 0).batch(0))
    workload.loss(model, batch).backward()  # type: ignore[no-untyped-call]
    square = sum(float(p.grad.double().square().sum()) for p in model.parameters())  # type: ignore[union-attr]
    assert curve["grad_norm"][1] == pytest.approx(square**0.5, rel=1e-6)


def test_the_best_evaluation_is_kept_beside_the_last() -> None:
    cell = digits_cell("fixed", num_steps=60, eval_every=2, lr_exponent="0")
    record, curve = trained(cell)
    best = curve.filter(pl.col("valid_loss") == pl.col("valid_loss").min())
    assert record.summary.best_valid_loss == best["valid_loss"][0]
    assert record.summary.best_test_loss == best["test_loss"][0]
    assert record.summary.valid_loss == curve["valid_loss"][-1]
    assert record.summary.best_valid_loss < record.summary.valid_loss  # type: ignore[operator]


def test_a_workload_without_a_loss_at_chance_has_that_of_the_fresh_model() -> None:
    record, curve = trained(sample_cell(REGRESSION))
    assert record.facts is not None
    assert record.facts.chance_loss == curve["valid_loss"][0] == record.summary.initial_valid_loss


def test_the_record_says_where_it_was_made() -> None:
    cell = sample_cell()
    record, _ = trained(cell)
    assert record.provenance["torch"] == torch.__version__
    assert record.provenance["processes"] == "1"
    assert {"robustlr", "python", "device", "git_commit"} <= set(record.provenance)
    assert record.provenance["workload_code"] == code_hash(build_workload(cell.workload))
    assert RunRecord.from_table(record.table()) == record


def test_groups_of_a_users_optimizer_keep_their_relative_learning_rates() -> None:
    factory = FactoryOptimizer(factory="tests.workloads.samples:two_speeds")
    cell = dataclasses.replace(sample_cell(num_steps=1), optimizer=factory)
    models: list[torch.nn.Module] = []

    class Kept(Regression):
        def model(self, seed: int) -> torch.nn.Module:
            models.append(super().model(seed))
            return models[-1]

    train(cell, Kept())
    torch.manual_seed(cell.seed)
    model = Kept().model(cell.seed)
    batch = Kept().examples("train", 0).batch(BatchOrder(32, 8, 0).batch(0))
    Kept().loss(model, batch).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter, lr in zip(model.parameters(), (0.01, 0.001), strict=True):
            parameter -= lr * parameter.grad  # type: ignore[operator]
    trained_model = models[0]
    for ours, expected in zip(trained_model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_an_update_that_is_skipped_is_paid_for_and_counts_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the fp16 scaler does where a gradient overflows, here to updates 3, 4 and 9."""
    honest, attempts = Learner.apply, itertools.count()

    def overflowing(learner: Learner, multiplier: float, step: int) -> float | None:
        if next(attempts) not in (3, 4, 9):
            return honest(learner, multiplier, step)
        for weight in learner.weights:
            weight.grad = None
        return None

    monkeypatch.setattr(Learner, "apply", overflowing)
    cell = digits_cell("curvature_adaptive:every=2", num_steps=12, log_every=1, eval_every=3)
    record, curve = trained(cell)
    assert record.status is RunStatus.COMPLETED
    assert next(attempts) == 15
    assert curve["step"].to_list() == list(range(13))
    assert record.summary.steps == 12
    assert record.summary.example_passes == 15 * 64
    # a schedule that was told of a skipped update would have counted its estimates twice
    assert record.outcome["curvature_estimates"] == 6


def test_a_run_that_skips_for_ever_has_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "apply", lambda learner, multiplier, step: None)
    record, curve = trained(sample_cell())
    assert record.status is RunStatus.DIVERGED
    assert record.summary.steps == 0
    assert curve["step"].to_list() == [0]


def test_half_precision_weights_of_a_large_sum_are_finite() -> None:
    class Half(Regression):
        def model(self, seed: int) -> torch.nn.Module:
            model = super().model(seed)
            model.register_parameter("large", torch.nn.Parameter(torch.full((9,), 3e4).half()))
            return model

    record, _ = train(sample_cell(), Half())
    assert record.status is RunStatus.COMPLETED
