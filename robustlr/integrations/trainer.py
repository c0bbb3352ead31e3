"""Any of our schedules in an existing script of Hugging Face's Trainer.

A callback alone sees neither the loss of an update nor its batch, and the learning rate that it
sets is overwritten by the Trainer's own scheduler. So the callback takes the place of that
scheduler, and looks at what `training_step` is given and returns.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from robustlr.errors import SpecError
from robustlr.schedules import parse
from robustlr.schedules.base import Lifted
from robustlr.torch_schedulers import CurvatureAdaptiveLR, ScheduleLR
from robustlr.torch_schedulers.base import ScheduleLike

try:
    from transformers import Trainer, TrainerCallback
except ImportError as error:
    raise SpecError("ScheduleCallback needs transformers: pip install 'robustlr[hf]'") from error


class ScheduleCallback(TrainerCallback):
    """Trains with `schedule` instead of the Trainer's own scheduler.

    trainer: not yet trained; its `learning_rate` is the peak, its `max_steps` the horizon T.
        `lr_scheduler_type` and warm-up of its arguments no longer matter.
    schedule: as an object, a table, or a shorthand such as "cosine+warmup=0.05", "auto_warmup" or
        "curvature_adaptive:anneal=cosine".
    seed: of the curvature's probes.

        trainer = Trainer(...)
        trainer.add_callback(ScheduleCallback(trainer, "auto_warmup"))
        trainer.train()

    What the schedule sees is the update's own loss: its mean over micro-batches and ranks. The
    Trainer logs and saves the learning rate and the state of the schedule with its checkpoints,
    and `resume_from_checkpoint` goes on with them. Where the schedule learns from the loss, an
    update whose loss is not finite on any rank leaves the weights as they are on all, and a
    RuntimeWarning says so: one such gradient would be the end of them. Raises SpecError for a
    schedule that cannot work here: Gauss-Newton estimates need labels drawn from the model, which
    only you know.
    """

    def __init__(self, trainer: Trainer, schedule: ScheduleLike, *, seed: int = 0) -> None:
        self.schedule, self._seed = parse(schedule), seed
        self._trainer = cast(Any, trainer)  # its annotations know no scheduler but torch's
        self.scheduler: ScheduleLR | CurvatureAdaptiveLR | None = None
        """The scheduler at work; None before training has begun."""
        request = self.schedule.curvature_request
        if request is not None and request.estimator == "gauss_newton":
            raise SpecError(
                f"'{self.schedule.label}' draws labels from the model, which a Trainer does not "
                "know how to do: take estimator=hutchinson or estimator=finite_difference"
            )
        if trainer.lr_scheduler is not None:
            raise SpecError(
                "the Trainer has a scheduler already; pass it none, and add the callback before "
                "its first training"
            )
        self._learns = request is None and not isinstance(self.schedule.lifted(), Lifted)
        self._loss = 0.0
        self._batch: Mapping[str, Any] | None = None
        self._saved: Mapping[str, Any] | None = None
        self._step_of_trainer: Any = trainer.training_step
        self._trainer.training_step = self._training_step
        self._trainer.lr_scheduler = self

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Build the scheduler, now that optimizer and horizon are known."""
        optimizer, trainer = others["optimizer"], self._trainer
        self._loss, self._batch = 0.0, None  # a training before may have ended within an update
        for group in optimizer.param_groups:  # a second training starts at the peak again
            group["lr"] = group.setdefault("initial_lr", group["lr"])
        if self.schedule.curvature_request is None:
            self.scheduler = ScheduleLR(optimizer, self.schedule, num_steps=state.max_steps)
        else:
            self.scheduler = CurvatureAdaptiveLR(
                optimizer,
                trainer.model,
                self._mean_loss,
                num_steps=state.max_steps,
                schedule=self.schedule,
                seed=self._seed,
            )
        if self._saved is not None:
            self.scheduler.load_state_dict(self._saved)
            self._saved = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take the gradient from an update whose loss is not finite."""
        scheduler = self._at_work
        if scheduler.finite or self._trainer.accelerator.scaler:  # float16's scaler skips it
            return
        scheduler.optimizer.zero_grad()  # and to None, so that no optimizer moves a weight
        warnings.warn(
            "the loss of an update is not finite: its gradient is not applied; where that goes on "
            "the weights are dead, and only a checkpoint helps",
            RuntimeWarning,
            stacklevel=2,
        )

    def step(self) -> None:
        """Called by the Trainer after an update; ours has decided before it."""

    def get_last_lr(self) -> list[float]:
        """The learning rate of the last update, one per parameter group: for the Trainer's log."""
        return self._at_work.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """For the Trainer's checkpoints: plain values."""
        return self._at_work.state_dict()

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """From a checkpoint of the Trainer, before training begins."""
        self._saved = values

    def _training_step(
        self, model: nn.Module, inputs: Mapping[str, Any], *others: Any, **options: Any
    ) -> Tensor:
        """The Trainer's own, and after the last micro-batch of an update: decide on its lr."""
        if self._batch is None:
            self._batch = dict(inputs)
        loss: Tensor = self._step_of_trainer(model, inputs, *others, **options)
        if self._learns:  # to read a loss is to wait for the GPU
            self._loss += float(loss)
        if self._trainer.accelerator.sync_gradients:
            scheduler, total, batch = self._at_work, self._loss, self._batch
            self._loss, self._batch = 0.0, None
            if isinstance(scheduler, CurvatureAdaptiveLR):
                scaler = self._trainer.accelerator.scaler
                scheduler.step(batch, loss_scale=scaler.get_scale() if scaler else 1.0)
            else:
                scheduler.step(loss=total if self._learns else None)
        return loss

    def _mean_loss(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        loss: Tensor = self._trainer.compute_loss(model, dict(batch))
        return loss

    @property
    def _at_work(self) -> ScheduleLR | CurvatureAdaptiveLR:
        if self.scheduler is None:
            raise SpecError(
                "the callback knows nothing of this training: trainer.add_callback(callback) first"
            )
        return self.scheduler
