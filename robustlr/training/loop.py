"""The only training loop: one cell in, one record and one curve out.

Accelerate places the model, wraps it for DDP and mixed precision, and reduces over ranks. The
loop itself drives the bare optimizer (a prepared one costs half an update of a small model, and
a prepared scheduler steps once per rank): the learning rate is set once per update that really
happens, the update's loss is reduced over ranks before a schedule sees it, so that every rank
takes the same learning rate to the bit.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from robustlr.errors import WorkloadError
from robustlr.optimizers import build_optimizer
from robustlr.records import RunRecord, RunStatus, WorkloadFacts
from robustlr.schedules import Feedback
from robustlr.specs import Cell
from robustlr.training.curvature_probe import CurvatureProbe
from robustlr.training.order import BatchOrder, micro_batches, mixed_seed
from robustlr.training.provenance import provenance
from robustlr.training.recorder import CurveRecorder, Evaluation
from robustlr.training.setting import load_examples, make_accelerator, seed_torch
from robustlr.workloads import Batch, Split, Workload

_MOST_SKIPPED = 100  # fp16 updates skipped in a row before the run counts as diverged


def train(cell: Cell, workload: Workload) -> tuple[RunRecord, pl.DataFrame]:
    """Train one cell on the device and the ranks of this process group.

    Returns the record (COMPLETED or DIVERGED) and the curve, equal on every rank. Raises
    SpecError where the cell cannot be trained as written, WorkloadError and DataError where the
    workload is not what it should be; and whatever the workload raises.
    """
    chance = workload.chance_loss
    if chance is not None and not math.isfinite(chance):
        raise WorkloadError(f"workload '{cell.workload.label}': chance_loss is {chance}")
    run = _Run(cell, workload)
    status = run.to_the_end()
    summary = run.recorder.summary(run.step)
    record = RunRecord(
        cell=cell,
        status=status,
        summary=summary,
        facts=WorkloadFacts(
            chance_loss=run.initial.valid_loss if chance is None else chance,
            optimum_loss=workload.optimum_loss,
            metric=workload.metric,
        ),
        outcome=run.schedule.outcome(run.state),
        provenance=provenance(str(run.accelerator.device)) | {"processes": str(run.ranks)},
    )
    return record, run.recorder.curve()


class _Run:
    """The mutable state of one training run: `step` updates are made, `drawn` batches used."""

    def __init__(self, cell: Cell, workload: Workload) -> None:
        self.cell, self.workload, self.training = cell, workload, cell.training
        self.accelerator = make_accelerator(cell)
        device = self.accelerator.device
        self.rank, self.ranks = self.accelerator.process_index, self.accelerator.num_processes
        seed_torch(cell.seed, device)
        self.bare_model = workload.model(cell.seed).to(device)
        self.weights = list(self.bare_model.parameters())
        self.values = [weight.detach() for weight in self.weights]
        self.peak_lr = cell.peak_lr
        self.optimizer = build_optimizer(cell.optimizer, self.weights, self.peak_lr)
        # a factory's groups keep their learning rates relative to one another
        self.lr_shares = [group["lr"] / self.peak_lr for group in self.optimizer.param_groups]
        self.model: nn.Module = self.accelerator.prepare_model(self.bare_model)
        self.scaled = self.training.precision == "fp16"
        if self.scaled:  # the scaler lives in Accelerate's optimizer
            self.optimizer = self.accelerator.prepare_optimizer(self.optimizer)
        self.examples = load_examples(cell, workload, device)
        self.order = BatchOrder(len(self.examples["train"]), cell.batch_size, cell.seed)
        self.schedule = cell.schedule.lifted()
        self.state = self.schedule.init(cell.num_steps)
        self.probe = CurvatureProbe.requested_by(cell, workload, self.bare_model, self.accelerator)
        self.recorder = CurveRecorder()
        self.step = self.drawn = self.skipped = 0
        self.lr: float | None = None
        self.grad_norm: float | None = None
        seed_torch(mixed_seed(cell.seed, self.rank), device)  # dropout differs between ranks
        self.initial = self._evaluate()
        if not self.initial.finite:
            raise WorkloadError(
                f"workload '{cell.workload.label}': the fresh model's loss is "
                f"{self.initial.valid_loss} on validation and {self.initial.test_loss} on test: "
                "look at its data and its initialisation"
            )
        self.recorder.add_row(0, evaluation=self.initial)

    def to_the_end(self) -> RunStatus:
        """Make every update; stop at once where a loss or a weight is not finite."""
        costs = self.recorder.costs
        while self.step < self.cell.num_steps:
            before, started = self.step, time.perf_counter()
            finite = self._attempt_update()
            costs.example_passes += self.cell.batch_size
            costs.wall_seconds += time.perf_counter() - started
            if finite and self.step > before:
                finite = self._record_row()
            if not finite:
                self.recorder.diverge(self.step, self.lr)
                return RunStatus.DIVERGED
        return RunStatus.COMPLETED

    def _attempt_update(self) -> bool:
        """One update, unless the fp16 scaler skips it; False where the run has diverged."""
        before, drawn = self.state, self.order.batch(self.drawn)
        shares = micro_batches(drawn, self.training.accumulation_steps, self.rank, self.ranks)
        micro = [self.examples["train"].batch(share) for share in shares]
        self.drawn += 1
        loss = self._backward(micro)
        if not math.isfinite(loss):
            return False
        if not self._tell_schedule(loss, micro[0]):
            return False
        self._clip_and_measure()
        lr = self.peak_lr * self.schedule.multiplier(self.state)
        if not self._apply(lr):
            self.state = before
            self.skipped += 1
            return self.skipped <= _MOST_SKIPPED
        self.skipped, self.lr = 0, lr
        self.step += 1
        self.recorder.add_loss(loss)
        return self._weights_are_finite()

    def _backward(self, micro: list[Batch]) -> float:
        """Gradient of the mean loss over the update's batch; the loss, reduced over ranks."""
        total: Tensor | None = None
        for position, batch in enumerate(micro):
            with self._synchronised(position + 1 == len(micro)):
                loss = _checked(self.workload.loss(self.model, batch))
                share = loss / len(micro) if len(micro) > 1 else loss
                if self.scaled:
                    self.accelerator.backward(share)
                else:
                    torch.autograd.backward(share)
            total = share.detach() if total is None else total + share.detach()
        assert total is not None, "an update has at least one micro-batch"
        if self.ranks > 1:
            total = self.accelerator.reduce(total.double(), reduction="mean")
        return float(total)

    def _synchronised(self, synchronise: bool) -> AbstractContextManager[Any]:
        if synchronise or self.ranks == 1:
            return nullcontext()
        return self.accelerator.no_sync(self.model)  # type: ignore[no-any-return]

    def _tell_schedule(self, loss: float, batch: Batch) -> bool:
        """Before clipping, as an estimate may read the gradient; False where too many failed."""
        if not (self.probe and self.schedule.wants_curvature(self.state, self.step)):
            self.state = self.schedule.update(self.state, Feedback(self.step, loss))
            return True
        estimate = self.probe.estimate(self.step, batch, self.recorder.costs)
        feedback = Feedback(self.step, loss, estimate.trace, estimate.extremes)
        self.state = self.schedule.update(self.state, feedback)
        return not self.schedule.telemetry(self.state).get("curvature_failed")

    def _clip_and_measure(self) -> None:
        """Clip the gradient; its norm before clipping is kept where the next row shows it."""
        limit, shown = self.training.clip_norm, self._logs(self.step + 1)
        self.grad_norm = None
        if limit is not None:
            norm = self.accelerator.clip_grad_norm_(self.weights, limit)
        elif shown:
            if self.scaled:
                self.accelerator.unscale_gradients()
            gradients = [weight.grad for weight in self.weights if weight.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
        if shown:
            self.grad_norm = float(norm)

    def _apply(self, lr: float) -> bool:
        """One optimizer update at `lr`; False where the fp16 scaler skipped it."""
        for group, share in zip(self.optimizer.param_groups, self.lr_shares, strict=True):
            group["lr"] = lr * share
        self.optimizer.step()
        for weight in self.weights:
            weight.grad = None
        if self.scaled and self.accelerator.optimizer_step_was_skipped:
            return False
        self.workload.project(self.bare_model)
        return True

    def _weights_are_finite(self) -> bool:
        if self.values[0].is_cuda:  # few kernels and one wait, however many weights
            return math.isfinite(torch.nn.utils.get_total_norm(self.values, math.inf))
        total = 0.0
        for value in self.values:
            total += value.sum().item()
        # a finite sum has finite terms; the other way round needs a closer look
        return math.isfinite(total) or all(bool(value.isfinite().all()) for value in self.values)

    def _evaluates(self, step: int) -> bool:
        return step == self.cell.num_steps or step % self.training.eval_every == 0

    def _logs(self, step: int) -> bool:
        every = self.training.log_every
        return self._evaluates(step) or (every > 0 and step % every == 0)

    def _record_row(self) -> bool:
        """A row of the curve where one is due; False where evaluation is not finite."""
        if not self._logs(self.step):
            return True
        evaluation = self._evaluate() if self._evaluates(self.step) else None
        self.recorder.add_row(
            self.step,
            lr=self.lr,
            grad_norm=self.grad_norm,
            evaluation=evaluation,
            telemetry=self.schedule.telemetry(self.state),
        )
        return evaluation is None or evaluation.finite

    @torch.no_grad()
    def _evaluate(self) -> Evaluation:
        self.bare_model.eval()
        valid_loss, valid_metric = self._evaluate_split("valid")
        test_loss, test_metric = self._evaluate_split("test")
        self.bare_model.train()
        return Evaluation(valid_loss, test_loss, valid_metric, test_metric)

    def _evaluate_split(self, split: Split) -> tuple[float, float]:
        examples = self.examples[split]
        mine = torch.arange(self.rank, len(examples), self.ranks)
        sums = self.workload.evaluate(self.bare_model, examples, mine)
        if self.ranks > 1:
            both = torch.tensor(sums, dtype=torch.float64, device=self.accelerator.device)
            sums = tuple(self.accelerator.reduce(both, reduction="sum").tolist())
        self.recorder.costs.evaluation_passes += len(examples) / 3.0  # forward alone: a third
        loss, metric = (total / len(examples) for total in sums)
        return loss, self.workload.metric_value(loss, metric)


def _checked(loss: Any) -> Tensor:
    """`loss` if it is what a workload must return. Raises WorkloadError."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shown = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise WorkloadError(f"a workload's loss must be a scalar tensor, the mean; got {shown}")
    if not loss.requires_grad:
        raise WorkloadError("a workload's loss must depend on the model's weights; it has no graph")
    return loss
