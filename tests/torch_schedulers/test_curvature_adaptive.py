"""The curvature-adaptive schedule in somebody's own loop: a study's numbers, in three lines."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from robustlr.errors import SpecError, WorkloadError
from robustlr.schedules.curvature_adaptive import ESTIMATORS
from robustlr.torch_schedulers import CurvatureAdaptiveLR
from robustlr.training import train
from robustlr.training.order import BatchOrder
from robustlr.workloads import build_workload
from tests.benchmarks.curvature_problems import resnet
from tests.curvature.two_ranks import RANKS, on_two_ranks
from tests.training.cells import digits_cell

Loss = Callable[[nn.Module, Any], Tensor]


def loss_fn(model: nn.Module, batch: Any) -> Tensor:
    inputs, labels = batch
    return functional.cross_entropy(model(inputs), labels)


def sample_loss_fn(model: nn.Module, batch: Any, generator: torch.Generator) -> tuple[Tensor, int]:
    logits = model(batch[0])
    labels = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)[:, 0]
    return functional.cross_entropy(logits, labels), len(labels)


def problem(seed: int = 0) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.BatchNorm1d(8), nn.Linear(8, 3))
    batches = [(torch.randn(16, 6), torch.randint(0, 3, (16,))) for _ in range(12)]
    return model, batches


SCHEDULE = "curvature_adaptive:every=3,smoothing=0.5,batch_fraction=0.25"


def loop(schedule: str = SCHEDULE, **options: Any) -> tuple[list[float], CurvatureAdaptiveLR]:
    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = CurvatureAdaptiveLR(
        optimizer, model, loss_fn, num_steps=12, schedule=schedule, **options
    )
    lrs = []
    for batch in batches:
        optimizer.zero_grad()
        loss_fn(model, batch).backward()
        scheduler.step(batch)
        optimizer.step()
        lrs += scheduler.get_last_lr()
    return lrs, scheduler


@pytest.mark.parametrize(
    "schedule",
    [
        "curvature_adaptive:every=5",
        "curvature_adaptive:every=5,anneal=cosine,bounds=eigenvalue",
        "curvature_adaptive:every=4,estimator=squared_gradient+warmup=0.25",
        "curvature_adaptive:every=4,estimator=gauss_newton,scale=raw,strength=0.3",
    ],
)
def test_it_is_the_schedule_of_a_study(schedule: str) -> None:
    cell = digits_cell(schedule, num_steps=24, seed=3, log_every=1)
    workload = build_workload(cell.workload)
    _, curve = train(cell, workload)

    torch.manual_seed(3)
    model = workload.model(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=cell.peak_lr, momentum=0.9)
    scheduler = CurvatureAdaptiveLR(
        *(optimizer, model, workload.loss),
        num_steps=24,
        schedule=schedule,
        sample_loss_fn=workload.sampled_loss,
        seed=3,
    )
    order, lrs = BatchOrder(1000, 64, 3), []
    examples = workload.examples("train", 3)
    for step in range(24):
        batch = examples.batch(order.batch(step))
        optimizer.zero_grad()
        workload.loss(model, batch).backward()
        scheduler.step(batch)
        optimizer.step()
        lrs += scheduler.get_last_lr()
    assert lrs == curve["lr"].drop_nulls().to_list()
    assert scheduler.curvature_passes == curve["curvature_passes"][-1]
    assert len(set(lrs)) > 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="torch.compile is tried on Linux alone")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, in the compiler
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_compiled_model_is_followed_as_the_original(estimator: str) -> None:
    lrs = []
    for compiled in (False, True):
        model, batches = problem()
        trained = torch.compile(model, backend="aot_eager") if compiled else model
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
        scheduler = CurvatureAdaptiveLR(
            *(optimizer, trained, loss_fn),
            num_steps=12,
            schedule=f"{SCHEDULE},estimator={estimator}",
            sample_loss_fn=sample_loss_fn,
        )
        for batch in batches:
            optimizer.zero_grad()
            loss_fn(trained, batch).backward()
            scheduler.step(batch)
            optimizer.step()
            lrs += scheduler.get_last_lr()
    assert lrs[12:] == pytest.approx(lrs[:12], rel=1e-3)
    assert len(set(lrs[:12])) > 2


def test_a_resumed_run_goes_on_through_json() -> None:
    whole, _ = loop()
    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def scheduler_of(optimizer: torch.optim.Optimizer) -> CurvatureAdaptiveLR:
        return CurvatureAdaptiveLR(optimizer, model, loss_fn, num_steps=12, schedule=SCHEDULE)

    scheduler, lrs = scheduler_of(optimizer), []
    for number, batch in enumerate(batches):
        if number == 7:
            saved = json.loads(json.dumps(scheduler.state_dict()))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = scheduler_of(optimizer)
            scheduler.load_state_dict(saved)
            assert scheduler.curvature_passes == saved["curvature_passes"] > 0
        optimizer.zero_grad()
        loss_fn(model, batch).backward()
        scheduler.step(batch)
        optimizer.step()
        lrs += scheduler.get_last_lr()
    assert lrs == whole


def test_the_extremes_of_the_eigenvalue_bounds_survive_json() -> None:
    _, scheduler = loop("curvature_adaptive:every=3,bounds=eigenvalue")
    saved = json.loads(json.dumps(scheduler.state_dict()))
    last = scheduler.get_last_lr()
    scheduler.load_state_dict(saved)
    assert scheduler.get_last_lr() == last


def test_one_estimate_per_update_however_often_it_is_called() -> None:
    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = CurvatureAdaptiveLR(
        optimizer, model, loss_fn, num_steps=4, schedule="curvature_adaptive:every=1"
    )
    for _ in range(5):
        scheduler.step(batches[0])
    assert scheduler.outcome["curvature_estimates"] == 1
    optimizer.step()
    scheduler.step(batches[1])
    assert scheduler.outcome["curvature_estimates"] == 2


def test_squared_gradient_after_the_last_micro_batch_is_that_of_the_update() -> None:
    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = "curvature_adaptive:every=1,estimator=squared_gradient"
    scheduler = CurvatureAdaptiveLR(optimizer, model, loss_fn, num_steps=6, schedule=schedule)
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        optimizer.zero_grad()
        for batch in (first, second):
            (loss_fn(model, batch) / 2).backward()
        scheduler.step(second)
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
        assert scheduler.telemetry["curvature_trace"] == pytest.approx(float(norm) ** 2, rel=1e-5)
        optimizer.step()


def test_a_loss_scale_of_float16_divides_out() -> None:
    model, batches = problem()
    traces = []
    for scale in (1.0, 1024.0):
        model.zero_grad()
        (loss_fn(model, batches[0]) * scale).backward()
        for estimator in ("squared_gradient", "hutchinson"):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            schedule = f"curvature_adaptive:estimator={estimator}"
            scheduler = CurvatureAdaptiveLR(
                optimizer, model, loss_fn, num_steps=4, schedule=schedule
            )
            scheduler.step(batches[0], loss_scale=scale)
            traces.append(scheduler.telemetry["curvature_trace"])
    assert traces[:2] == pytest.approx(traces[2:], rel=1e-4)


def test_second_derivatives_that_overflow_at_the_scalers_scale_are_no_divergence() -> None:
    """fp16 on the GroupNorm ResNet: gradients fit at 2^16, so that the scaler never backs off."""

    def half_loss(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.float16):
            return loss_fn(model, batch)

    torch.manual_seed(0)
    model, inputs, labels = resnet()
    batch = (inputs[:4, :, :8, :8], labels[:4])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    scheduler = CurvatureAdaptiveLR(
        *(optimizer, model, half_loss),
        num_steps=4,
        schedule="curvature_adaptive:every=1,batch_fraction=1,max_skipped=2",
    )
    for _ in range(4):
        optimizer.zero_grad()
        scaler.scale(half_loss(model, batch)).backward()
        scheduler.step(batch, loss_scale=scaler.get_scale())
        scaler.step(optimizer)
        scaler.update()
    assert (scheduler.updates, scaler.get_scale()) == (4, 2.0**16)
    assert scheduler.outcome["curvature_estimates"] == 4
    assert scheduler.outcome["curvature_skipped"] == 0


def test_traces_that_are_not_finite_are_passed_over_and_then_warned_of() -> None:
    def infinite(model: nn.Module, batch: Any) -> Tensor:
        return loss_fn(model, batch) * float("inf")

    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = CurvatureAdaptiveLR(
        *(optimizer, model, infinite),
        num_steps=4,
        schedule="curvature_adaptive:every=1,max_skipped=2",
    )
    started = scheduler.get_last_lr()
    for _ in range(1):
        scheduler.step(batches[0])
        optimizer.step()
    with pytest.warns(RuntimeWarning, match="training has diverged"):
        scheduler.step(batches[0])
    assert scheduler.get_last_lr() == started


def test_bad_arguments_are_refused() -> None:
    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(SpecError, match="'cosine' asks for no curvature: use ScheduleLR"):
        CurvatureAdaptiveLR(optimizer, model, loss_fn, num_steps=4, schedule="cosine")
    scheduler = CurvatureAdaptiveLR(
        *(optimizer, model, loss_fn),
        num_steps=4,
        schedule="curvature_adaptive:estimator=gauss_newton",
    )
    with pytest.raises(WorkloadError, match="'hutchinson' or 'finite_difference'"):
        scheduler.step(batches[0])
    state = scheduler.state_dict()
    del state["curvature_passes"]
    with pytest.raises(SpecError, match="no state of a CurvatureAdaptiveLR: it lacks curvature_pa"):
        scheduler.load_state_dict(state)


def accelerated(steps: int, **options: Any) -> tuple[list[float], CurvatureAdaptiveLR, nn.Module]:
    """The documented loop under Accelerate, on this rank's half of every batch."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2, **options)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    model, batches = problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    scheduler = CurvatureAdaptiveLR(
        optimizer,
        model,
        loss_fn,
        num_steps=steps,
        schedule="curvature_adaptive:every=1,smoothing=0.5,batch_fraction=0.25",
    )
    lrs = []
    for batch in batches:
        with accelerator.accumulate(model):
            mine = tuple(part[rank::ranks] for part in batch)
            accelerator.backward(loss_fn(model, mine))
            scheduler.step(mine)
            optimizer.step()
            optimizer.zero_grad()
        lrs += scheduler.get_last_lr()
    return lrs, scheduler, model


@pytest.fixture
def fresh_accelerate() -> Any:
    """Accelerate keeps its state per process, with the data loaders of whoever came before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_accelerate_with_accumulation(precision: str) -> None:
    lrs, scheduler, _ = accelerated(6, mixed_precision=precision)
    assert scheduler.updates == 6
    assert scheduler.outcome["curvature_estimates"] == 6
    assert lrs[::2] == lrs[1::2]  # one decision per update of two micro-batches


def accelerated_rank(rank: int) -> dict[str, Any]:
    lrs, scheduler, model = accelerated(6)
    assert isinstance(model, DistributedDataParallel)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return {"lrs": lrs, "passes": scheduler.curvature_passes, "weights": weights}


@pytest.mark.slow
def test_two_ranks_under_accelerate_take_one_lr(tmp_path: Path) -> None:
    first, second = on_two_ranks(accelerated_rank, tmp_path)
    assert first["lrs"] == second["lrs"]
    assert len(set(first["lrs"])) > 2
    assert torch.equal(first["weights"], second["weights"])
    assert first["passes"] == 6 * RANKS * 2 * 4.0  # estimates, ranks, examples of each, passes


def sharded_rank(rank: int) -> dict[str, Any]:
    """A plain loop on a model that FSDP2 cut up, each rank on its half of every batch."""
    out: dict[str, Any] = {}
    for estimator in ("finite_difference", "gauss_newton", "squared_gradient"):
        model, batches = problem()
        for layer in (*model, model):
            if list(layer.parameters()):
                fully_shard(layer)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = CurvatureAdaptiveLR(
            *(optimizer, model, loss_fn),
            num_steps=12,
            # of two examples BatchNorm leaves traces that are negative throughout
            schedule=f"curvature_adaptive:every=3,smoothing=0.5,estimator={estimator},batch_fraction=1",
            sample_loss_fn=sample_loss_fn,
        )
        lrs = []
        for batch in batches:
            mine = tuple(part[rank::RANKS] for part in batch)
            optimizer.zero_grad()
            loss_fn(model, mine).backward()
            scheduler.step(mine)
            optimizer.step()
            lrs += scheduler.get_last_lr()
        out[estimator] = {"lrs": lrs, "state": json.dumps(scheduler.state_dict())}
    return out


@pytest.mark.slow
def test_two_ranks_of_sharded_weights_take_one_lr(tmp_path: Path) -> None:
    first, second = on_two_ranks(sharded_rank, tmp_path)
    assert first == second
    for found in first.values():
        assert len(set(found["lrs"])) > 2
