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
from accelerate import Accelerator
from torch import Tensor, nn

from robustlr.errors import SpecError
from robustlr.optimizers import build_optimizer
from robustlr.records import RunRecord, RunStatus, WorkloadFacts
from robustlr.schedules import Feedback
from robustlr.specs import Cell
from robustlr.training.curvature_probe import CurvatureProbe
from robustlr.training.order import BatchOrder, micro_batches
from robustlr.training.provenance import provenance
from robustlr.training.recorder import CurveRecorder, Evaluation
from robustlr.workloads import Batch, Examples, Workload

_MOST_SKIPPED = 100  # fp16 updates skipped in a row before the run counts as diverged
_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def train(cell: Cell, workload: Workload) -> tuple[RunRecord, pl.DataFrame]:
    """Train one cell on the device and the ranks of this process group.

    Returns the record (COMPLETED or DIVERGED) and the curve, equal on every rank. Raises
    SpecError where the cell cannot be trained as written; whatever the workload raises.
    """
    run = _Run(cell, workload)
    status = run.to_the_end()
    summary = run.recorder.summary(run.step)
    chance = workload.chance_loss
    if chance is None:
        chance = summary.initial_valid_loss
    if chance is None:
        raise SpecError(f"workload '{cell.workload.label}': the fresh model's loss is not finite")
    record = RunRecord(
        cell=cell,
        status=status,
        summary=summary,
        facts=WorkloadFacts(
            chance_loss=chance, optimum_loss=workload.optimum_loss, metric=workload.metric
        ),
        outcome=run.schedule.outcome(run.state),
        provenance=provenance(str(run.accelerator.device))
        | {"processes": str(run.accelerator.num_processes)},
    )
    return record, run.recorder.curve()


def end_training() -> None:
    """Leave the process group, if there is one (gloo ranks abort at exit without it)."""
    Accelerator().end_training()


class _Run:
    """The mutable state of one training run."""

    def __init__(self, cell: Cell, workload: Workload) -> None:
        self.cell, self.workload = cell, workload
        self.accelerator = _accelerator(cell)
        torch.manual_seed(cell.seed)
        model = workload.model(cell.seed).to(self.accelerator.device)
        self.bare_model = model
        self.optimizer = build_optimizer(cell.optimizer, model.parameters(), cell.peak_lr)
        self.model: nn.Module = self.accelerator.prepare_model(model)
        self.scaled = cell.training.precision == "fp16"
        if self.scaled:  # the scaler lives in Accelerate's optimizer
            self.optimizer = self.accelerator.prepare_optimizer(self.optimizer)
        self.examples = {
            split: workload.examples(split, cell.seed).to(self.accelerator.device)
            for split in ("train", "valid", "test")
        }
        self.order = BatchOrder(len(self.examples["train"]), cell.batch_size, cell.seed)
        self.schedule = cell.schedule.lifted()
        self.state = self.schedule.init(cell.num_steps)
        self.probe = CurvatureProbe.requested_by(cell, workload, self.bare_model, self.accelerator)
        self.recorder = CurveRecorder()
        self.step = 0
        torch.manual_seed(cell.seed * 1009 + self.accelerator.process_index)

    def to_the_end(self) -> RunStatus:
        """Make every update; stop at once where a loss or a weight is not finite."""
        training = self.cell.training
        self.recorder.add_row(0, evaluation=self._evaluate())
        skipped = drawn = 0
        while self.step < self.cell.num_steps:
            started = time.perf_counter()
            micro = [
                self.examples["train"].batch(indices)
                for indices in micro_batches(
                    self.order.batch(drawn),
                    training.accumulation_steps,
                    self.accelerator.process_index,
                    self.accelerator.num_processes,
                )
            ]
            drawn += 1
            loss = self._backward(micro)
            if not math.isfinite(loss):
                return self._diverged(started)
            last = self.step + 1 == self.cell.num_steps
            evaluates = last or (self.step + 1) % training.eval_every == 0
            logs = evaluates or (training.log_every and (self.step + 1) % training.log_every == 0)
            self._tell_schedule(loss, micro[0])
            if self.probe and self.schedule.telemetry(self.state).get("curvature_failed"):
                return self._diverged(started)
            grad_norm = self._clip_and_measure(bool(logs))
            lr = self.cell.peak_lr * self.schedule.multiplier(self.state)
            if not self._update(lr):
                skipped += 1
                if skipped > _MOST_SKIPPED:
                    return self._diverged(started)
                continue
            skipped = 0
            self.step += 1
            self.recorder.add_loss(loss)
            self.recorder.costs.example_passes += self.cell.batch_size
            self.recorder.costs.wall_seconds += time.perf_counter() - started
            if logs:
                evaluation = self._evaluate() if evaluates else None
                self.recorder.add_row(
                    self.step,
                    lr=lr,
                    grad_norm=grad_norm,
                    evaluation=evaluation,
                    telemetry=self.schedule.telemetry(self.state),
                )
                if evaluation is not None and not evaluation.finite:
                    return RunStatus.DIVERGED
        return RunStatus.COMPLETED

    def _backward(self, micro: list[Batch]) -> float:
        """Gradient of the mean loss over the update's batch; the loss, reduced over ranks."""
        total: Tensor | None = None
        for position, batch in enumerate(micro):
            with self._synchronised(position + 1 == len(micro)):
                loss = self.workload.loss(self.model, batch)
                share = loss / len(micro) if len(micro) > 1 else loss
                self.accelerator.backward(share) if self.scaled else share.backward()
            total = share.detach() if total is None else total + share.detach()
        if total is None:
            raise SpecError("accumulation_steps must be at least 1")
        if self.accelerator.num_processes > 1:
            total = self.accelerator.reduce(total.double(), reduction="mean")
        return float(total)

    def _synchronised(self, synchronise: bool) -> AbstractContextManager[Any]:
        if synchronise or self.accelerator.num_processes == 1:
            return nullcontext()
        return self.accelerator.no_sync(self.model)  # type: ignore[no-any-return]

    def _tell_schedule(self, loss: float, batch: Batch) -> None:
        """Before clipping: the schedule sees the gradient that the loss has."""
        feedback = Feedback(self.step, loss)
        if self.probe and self.schedule.wants_curvature(self.state, self.step):
            estimate = self.probe.estimate(self.step, batch, self.recorder.costs)
            feedback = Feedback(self.step, loss, estimate.trace, estimate.extremes)
        self.state = self.schedule.update(self.state, feedback)

    def _clip_and_measure(self, logs: bool) -> float | None:
        limit = self.cell.training.clip_norm
        if limit is not None:
            norm = self.accelerator.clip_grad_norm_(self.bare_model.parameters(), limit)
            return float(norm)
        if not logs:
            return None
        if self.scaled:
            self.accelerator.unscale_gradients()
        gradients = [p.grad for p in self.bare_model.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def _update(self, lr: float) -> bool:
        """One optimizer update at `lr`; False where the fp16 scaler skipped it."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaled and self.accelerator.optimizer_step_was_skipped:
            return False
        self.workload.project(self.bare_model)
        return True

    def _diverged(self, started: float) -> RunStatus:
        self.recorder.costs.wall_seconds += time.perf_counter() - started
        self.recorder.add_row(self.step, lr=self.optimizer.param_groups[0]["lr"])
        return RunStatus.DIVERGED

    @torch.no_grad()
    def _evaluate(self) -> Evaluation:
        self.bare_model.eval()
        valid = self._evaluate_split(self.examples["valid"])
        test = self._evaluate_split(self.examples["test"])
        self.bare_model.train()
        return Evaluation(valid[0], test[0], valid[1], test[1])

    def _evaluate_split(self, examples: Examples) -> tuple[float, float]:
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        mine = torch.arange(len(examples))[rank::ranks]
        sums = torch.tensor(
            self.workload.evaluate(self.bare_model, examples, mine), dtype=torch.float64
        )
        if ranks > 1:
            sums = self.accelerator.reduce(sums.to(self.accelerator.device), reduction="sum")
        loss, metric = (sums / len(examples)).tolist()
        self.recorder.costs.evaluation_passes += len(examples) / 3.0  # forward alone: a third
        return loss, self.workload.metric_value(loss, metric)


def _accelerator(cell: Cell) -> Accelerator:
    precision = _PRECISIONS[cell.training.precision]
    if precision == "fp16" and not torch.cuda.is_available():
        raise SpecError("training.precision = 'fp16' needs a GPU; use 'bf16' or 'fp32' here")
    accelerator = Accelerator(mixed_precision=precision)
    if accelerator.num_processes != cell.training.processes_per_cell:
        raise SpecError(
            f"the cell wants {cell.training.processes_per_cell} processes, "
            f"this group has {accelerator.num_processes}"
        )
    return accelerator
