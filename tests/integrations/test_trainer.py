"""Schedules in Hugging Face's Trainer: the lr of every update is the schedule's own."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from robustlr.errors import SpecError
from robustlr.integrations import ScheduleCallback
from robustlr.schedules import Feedback, parse
from robustlr.torch_schedulers import CurvatureAdaptiveLR, ScheduleLR

T = 60
PEAK = 0.5


class Regression(nn.Module):
    """Least squares on eight inputs, in the form that a Trainer takes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 1)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.linear(x).squeeze(-1) - labels).square().mean()}


class Watch(TrainerCallback):  # type: ignore[misc]
    """What the optimizer was given: the learning rate of every update."""

    def __init__(self) -> None:
        self.lrs: list[float] = []

    def on_pre_optimizer_step(self, *_: Any, **others: Any) -> None:
        self.lrs.append(others["optimizer"].param_groups[0]["lr"])


def data() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(T * 8, 8, generator=generator)
    y = x @ torch.arange(8.0) / 8 + 0.1 * torch.randn(len(x), generator=generator)
    return [{"x": row, "labels": label} for row, label in zip(x, y, strict=True)]


def training(
    folder: Path, schedule: str, *, accumulation: int = 1, **arguments: Any
) -> tuple[Trainer, ScheduleCallback, Watch]:
    torch.manual_seed(0)
    trainer = Trainer(
        Regression(),
        TrainingArguments(
            str(folder),
            learning_rate=PEAK,
            max_steps=T,
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
            lr_scheduler_type="linear",
            max_grad_norm=1e9,
            optim="sgd",
            logging_steps=1,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            **{"save_strategy": "no"} | arguments,
        ),
        train_dataset=data(),
    )
    callback, watch = ScheduleCallback(trainer, schedule), Watch()
    trainer.add_callback(callback)
    trainer.add_callback(watch)
    return trainer, callback, watch


def logged(trainer: Trainer, name: str) -> list[float]:
    return [row[name] for row in trainer.state.log_history if name in row]


def replayed(schedule: str, losses: list[float]) -> list[float]:
    lifted = parse(schedule).lifted()
    state, lrs = lifted.init(T), []
    for step, loss in enumerate(losses):
        state = lifted.update(state, Feedback(step, loss))
        lrs.append(PEAK * lifted.multiplier(state))
    return lrs


def test_a_pure_schedule_has_its_closed_form(tmp_path: Path) -> None:
    trainer, _, watch = training(tmp_path, "cosine")
    trainer.train()
    expected = [PEAK * (1 + math.cos(math.pi * t / T)) / 2 for t in range(T)]
    assert watch.lrs == pytest.approx(expected)
    assert logged(trainer, "learning_rate") == pytest.approx(expected)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_feedback_schedule_sees_the_mean_loss_of_each_update(
    tmp_path: Path, accumulation: int
) -> None:
    trainer, callback, watch = training(tmp_path, "auto_warmup", accumulation=accumulation)
    trainer.train()
    expected = replayed("auto_warmup", logged(trainer, "loss"))
    assert watch.lrs == pytest.approx(expected, rel=1e-4)  # the log rounds the losses
    assert callback.scheduler is not None
    assert callback.scheduler.outcome["warmup_switch_step"] is not None


class Unread(Tensor):
    """A loss that nobody may wait for."""

    def __float__(self) -> float:
        raise AssertionError("the loss was read")


@pytest.mark.parametrize(
    ("schedule", "reads"),
    [("cosine", False), ("curvature_adaptive:every=7", False), ("auto_warmup", True)],
)
def test_the_loss_is_read_only_where_the_schedule_learns_from_it(
    tmp_path: Path, schedule: str, reads: bool
) -> None:
    trainer, callback, _ = training(tmp_path, schedule)
    trainer.args.logging_steps = trainer.args.max_steps = 1
    bare = callback._step_of_trainer
    callback._step_of_trainer = lambda *args: bare(*args).as_subclass(Unread)
    if reads:
        with pytest.raises(AssertionError, match="the loss was read"):
            trainer.train()
    else:
        trainer.train()


def test_curvature_is_that_of_the_trainer_s_loss(tmp_path: Path) -> None:
    """For least squares tr(H) = 2·mean‖(x, 1)‖², whatever the weights."""
    schedule = "curvature_adaptive:scale=raw,strength=1,every=1,smoothing=0,batch_fraction=1"
    trainer, callback, watch = training(tmp_path, f"{schedule},probes=64,min_multiplier=0")
    trainer.train()
    rows = torch.stack([example["x"] for example in data()])
    trace = 2.0 * float(rows.square().sum(1).mean() + 1)
    expected = PEAK / math.sqrt(1 + trace)
    assert sum(watch.lrs) / T == pytest.approx(expected, rel=0.05)
    assert callback.scheduler is not None
    assert "curvature_trace" in callback.scheduler.telemetry


@pytest.mark.parametrize("schedule", ["cosine", "auto_warmup", "curvature_adaptive:every=7"])
def test_a_resumed_training_goes_on_identically(tmp_path: Path, schedule: str) -> None:
    whole, _, expected = training(tmp_path, schedule, save_strategy="steps", save_steps=25)
    whole.train()
    resumed, _, watch = training(tmp_path, schedule)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-25"))
    assert watch.lrs == expected.lrs[25:]
    theirs, ours = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_a_second_training_starts_at_the_peak_again(tmp_path: Path) -> None:
    trainer, _, watch = training(tmp_path, "cosine")
    trainer.train()
    trainer.train()
    assert watch.lrs[:T] == watch.lrs[T:]


@pytest.mark.parametrize("accumulation", [1, 4])
def test_an_update_whose_loss_is_not_finite_is_left_out(tmp_path: Path, accumulation: int) -> None:
    trainer, callback, watch = training(tmp_path, "auto_warmup", accumulation=accumulation)
    bare, calls = callback._step_of_trainer, itertools.count()

    def spoilt(model: nn.Module, inputs: dict[str, Tensor], *others: Any) -> Tensor:
        if next(calls) == 20 * accumulation:
            inputs = inputs | {"labels": inputs["labels"] * math.inf}
        return bare(model, inputs, *others)  # type: ignore[no-any-return]

    callback._step_of_trainer = spoilt
    with pytest.warns(RuntimeWarning, match="loss of an update is not finite") as said:
        trainer.train()
    assert len([one for one in said if "not finite" in str(one.message)]) == 1
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())
    assert callback.scheduler is not None
    assert callback.scheduler.updates == len(watch.lrs) == T
    assert callback.scheduler.outcome["warmup_reason"] == "non_finite_loss"


@pytest.mark.parametrize("schedule", ["auto_warmup", "curvature_adaptive:every=1"])
def test_a_training_that_begins_again_forgets_the_update_that_it_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    arguments = {"accumulation": 4, "auto_find_batch_size": True}
    trainer, callback, _ = training(tmp_path, schedule, **arguments)  # type: ignore[arg-type]
    bare, calls = callback._step_of_trainer, itertools.count()

    def short_of_memory(*args: Any) -> Tensor:
        if next(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return bare(*args)  # type: ignore[no-any-return]

    callback._step_of_trainer = short_of_memory
    told: list[Any] = []
    for cls in (ScheduleLR, CurvatureAdaptiveLR):
        monkeypatch.setattr(cls, "step", lambda _, *batch, **named: told.append([*batch, named]))
    trainer.train()
    if schedule == "auto_warmup":
        assert told[0][0]["loss"] == pytest.approx(logged(trainer, "loss")[0], rel=1e-4)
    else:
        assert len(told[0][0]["labels"]) == trainer._train_batch_size == 1


def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="labels from the model"):
        training(tmp_path, "curvature_adaptive:estimator=gauss_newton")
    trainer, callback, _ = training(tmp_path, "cosine")
    with pytest.raises(SpecError, match="has a scheduler already"):
        ScheduleCallback(trainer, "cosine")
    trainer.remove_callback(callback)
    with pytest.raises(SpecError, match="add_callback"):
        trainer.train()
