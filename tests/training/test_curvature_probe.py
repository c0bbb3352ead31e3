"""The loop's estimates of the curvature: when, on what, at what cost, and unnoticed."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import Tensor, nn

from robustlr.curvature import Hutchinson, leading_examples, probe_generator
from robustlr.errors import WorkloadError
from robustlr.records import RunRecord, RunStatus
from robustlr.schedules.curvature_adaptive import ESTIMATORS
from robustlr.training import train
from robustlr.training.curvature_probe import CurvatureProbe
from robustlr.training.order import BatchOrder
from robustlr.workloads import Batch, Workload, build_workload
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.curvature.two_ranks import on_two_ranks
from tests.training.cells import digits_cell, sample_cell

OWN = ("curvature_trace", "curvature_passes", "wall_seconds")


class NoisyDigits(DigitsMLP):
    """BatchNorm moves buffers, dropout draws random numbers."""

    def model(self, seed: int) -> nn.Module:
        layers = (nn.Linear(64, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(0.2))
        return nn.Sequential(*layers, nn.Linear(16, 10))


def run(
    schedule: str, workload: Workload | None = None, **options: Any
) -> tuple[RunRecord, pl.DataFrame]:
    cell = digits_cell(schedule, **options)
    return train(cell, workload or build_workload(cell.workload))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "training",
    [
        {},
        {"accumulation_steps": 2},
        {"precision": "bf16"},
        {"clip_norm": 0.1, "accumulation_steps": 2},
    ],
    ids=["plain", "accumulated", "bf16", "clipped"],
)
def test_an_unused_estimate_leaves_training_as_it_is(
    estimator: str, training: dict[str, Any]
) -> None:
    options = {"num_steps": 15, "log_every": 1, **training}
    _, fixed = run("fixed", NoisyDigits(), **options)
    schedule = f"curvature_adaptive:strength=0,every=3,estimator={estimator}"
    record, probed = run(schedule, NoisyDigits(), **options)
    assert record.outcome["curvature_estimates"] == 5
    assert probed["curvature_trace"].drop_nulls().n_unique() == 5
    columns = [name for name in fixed.columns if name not in OWN]
    assert_frame_equal(fixed.select(columns), probed.select(columns), check_exact=True)


def test_the_first_estimate_is_the_one_made_by_hand() -> None:
    cell = digits_cell("curvature_adaptive:probes=3", num_steps=1, seed=5)
    workload = build_workload(cell.workload)
    _, curve = train(cell, workload)
    torch.manual_seed(5)
    model = workload.model(5)
    batch = workload.examples("train", 5).batch(BatchOrder(1000, 64, 5).batch(0))
    by_hand = Hutchinson(probes=3).estimate(
        *(model, leading_examples(batch, 0.125), probe_generator(5, 0, 0)),
        loss_fn=workload.loss,
        diagonal=False,
    )
    assert curve["curvature_trace"][-1] == by_hand.trace
    assert curve["curvature_passes"][-1] == by_hand.cost == 8 * 10.0


@pytest.mark.parametrize(
    ("schedule", "training", "passes"),
    [
        ("curvature_adaptive:every=10", {}, 4 * 8 * 4.0),
        ("curvature_adaptive:every=10", {"accumulation_steps": 2}, 4 * 4 * 4.0),
        ("curvature_adaptive:every=7,batch_fraction=1,estimator=gauss_newton", {}, 6 * 64 * 1.0),
        ("curvature_adaptive:every=10,estimator=squared_gradient", {}, 0.0),
        ("curvature_adaptive:every=10+warmup=0.25", {}, 3 * 8 * 4.0),
        ("fixed", {}, 0.0),
    ],
)
def test_cost_is_that_of_the_estimates_the_schedule_uses(
    schedule: str, training: dict[str, Any], passes: float
) -> None:
    record, _ = run(schedule, num_steps=40, **training)
    assert record.summary.curvature_passes == passes


class SaddleDigits(DigitsMLP):
    """A loss minus c‖θ‖²/2, whose trace is lower by c per weight: negative from the start."""

    bend: ClassVar[float] = 0.0

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        squares = sum(p.square().sum() for p in model.parameters())
        return super().loss(model, batch) - 0.5 * self.bend * squares


@pytest.mark.parametrize("bend", [-0.1, 0.0, 0.1])
def test_the_curve_shows_what_was_seen_and_what_was_made_of_it(
    bend: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SaddleDigits, "bend", bend)
    schedule = "curvature_adaptive:scale=raw,strength=0.3,every=4,smoothing=0.5"
    record, curve = run(schedule, SaddleDigits(hidden=(16,)), log_every=1, lr_exponent="-2")
    raw: list[float] = []
    clamped = 0
    for row in curve.filter(pl.col("step") > 0).iter_rows(named=True):
        if (row["step"] - 1) % 4 == 0:
            raw.append(row["curvature_trace"])
        assert row["curvature_trace"] == raw[-1]  # of the last estimate, until the next
        weights = [0.5 ** (len(raw) - 1 - k) for k in range(len(raw))]
        smoothed = math.fsum(w * x for w, x in zip(weights, raw, strict=True)) / sum(weights)
        assert row["curvature_smoothed"] == pytest.approx(smoothed)
        assert row["curvature_clamped"] == float(smoothed < 0.0)
        multiplier = 1.0 / math.sqrt(1.0 + 0.3 * max(0.0, smoothed))
        assert row["curvature_multiplier"] == pytest.approx(multiplier)
        assert row["lr"] == pytest.approx(1e-2 * multiplier)
        clamped += smoothed < 0.0
    assert len(set(raw)) == 10
    assert (clamped > 0, clamped == 40) == (bend >= 0.0, bend > 0.0)  # never, at times, always
    assert record.outcome["curvature_clamped_share"] == clamped / 40


def test_no_estimate_is_paid_for_during_a_warmup() -> None:
    _, curve = run("curvature_adaptive:every=4+warmup=0.5", num_steps=20, log_every=1)
    # W = 10: the estimate for the update at t = 10 is in the row of step 11.
    assert curve.filter(pl.col("curvature_passes") > 0)["step"].to_list() == [*range(11, 21)]
    assert curve.filter(pl.col("curvature_trace").is_not_null())["step"][0] == 11


def test_time_for_estimates_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = CurvatureProbe.estimate

    def slow(self: CurvatureProbe, *arguments: Any) -> Any:
        time.sleep(0.05)
        return made(self, *arguments)

    monkeypatch.setattr(CurvatureProbe, "estimate", slow)
    record, _ = run("curvature_adaptive:every=10", num_steps=40)
    assert record.summary.wall_seconds > 4 * 0.05


@pytest.mark.parametrize("training", [{}, {"clip_norm": 1e-3}, {"accumulation_steps": 4}])
def test_squared_gradient_is_that_of_the_whole_update_before_clipping(
    training: dict[str, Any],
) -> None:
    schedule = "curvature_adaptive:every=1,estimator=squared_gradient"
    _, curve = run(schedule, num_steps=8, log_every=1, **training)
    rows = curve.drop_nulls("grad_norm")
    assert rows["curvature_trace"].to_list() == pytest.approx((rows["grad_norm"] ** 2).to_list())


class KinkedDigits(DigitsMLP):
    """|x|^1.5 at x = 0 has a gradient and no second derivative."""

    def model(self, seed: int) -> nn.Module:
        model = super().model(seed)
        model.register_parameter("kink", nn.Parameter(torch.zeros(3)))
        return model

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        kink = model.get_parameter("kink")
        return super().loss(model, batch) + kink.abs().pow(1.5).sum()


def test_traces_that_are_not_finite_end_the_run_as_diverged() -> None:
    record, curve = run(
        "curvature_adaptive:every=4,max_skipped=3", KinkedDigits(hidden=(8,)), log_every=1
    )
    assert record.status is RunStatus.DIVERGED
    assert record.summary.steps == 8  # the third estimate is that for t = 8
    assert record.outcome["curvature_skipped"] == 3
    assert record.outcome["curvature_estimates"] == 0
    assert curve["curvature_trace"].is_null().all()


def test_fewer_of_them_are_passed_over() -> None:
    record, curve = run(
        "curvature_adaptive:every=4,max_skipped=11", KinkedDigits(hidden=(8,)), log_every=1
    )
    assert record.status is RunStatus.COMPLETED
    assert record.outcome["curvature_skipped"] == 10
    assert curve["lr"].drop_nulls().n_unique() == 1  # nothing was learned of the curvature


def test_a_workload_without_labels_to_draw_is_told_what_works() -> None:
    cell = sample_cell()
    workload = build_workload(cell.workload)
    for estimator, works in (("gauss_newton", False), ("hutchinson", True)):
        schedule = digits_cell(f"curvature_adaptive:estimator={estimator}").schedule
        probed = type(cell)(**{**vars(cell), "schedule": schedule})
        if works:
            train(probed, workload)
        else:
            with pytest.raises(WorkloadError, match="'hutchinson' or 'finite_difference'"):
                train(probed, workload)


def two_rank_runs(rank: int) -> dict[str, Any]:
    out = {}
    probed = [f"curvature_adaptive:strength=0,every=3,estimator={name}" for name in ESTIMATORS]
    for schedule in ("fixed", *probed):
        record, curve = run(
            schedule,
            NoisyDigits(),
            num_steps=9,
            log_every=1,
            processes_per_cell=2,
            accumulation_steps=2,
        )
        out[schedule.rpartition("=")[2]] = {
            "passes": record.summary.curvature_passes,
            "train_loss": curve["train_loss"].to_list(),
            "valid_loss": curve["valid_loss"].to_list(),
            "grad_norm": curve["grad_norm"].to_list(),
            "trace": curve["curvature_trace"].to_list() if "curvature_trace" in curve else [],
        }
    return out


@pytest.mark.slow
def test_two_ranks_pay_for_two_and_do_not_notice(tmp_path: Path) -> None:
    first, second = on_two_ranks(two_rank_runs, tmp_path)
    assert first == second
    fixed = first.pop("fixed")
    assert first.keys() == set(ESTIMATORS)
    per_example = {
        "hutchinson": 4.0, "gauss_newton": 1.0, "finite_difference": 2.0, "squared_gradient": 0.0
    }  # fmt: skip
    for name, probed in first.items():
        for quantity in ("train_loss", "valid_loss", "grad_norm"):
            assert probed[quantity] == fixed[quantity], (name, quantity)
        assert len(set(probed["trace"])) == 4  # null, then three estimates
        # estimates, ranks, examples of each rank's first micro-batch, passes
        assert probed["passes"] == 3 * 2 * 2 * per_example[name]
