"""The only training loop: one cell in, one record and one curve out.

The learning rate is set once per update that really happens (a prepared scheduler would step once
per rank), and the update's loss is reduced over ranks before a schedule sees it, so that every rank
takes the same learning rate to the bit.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from typing import Any

import polars as pl
from torch import Tensor

from robustlr.errors import WorkloadError
from robustlr.records import RunRecord, RunStatus, WorkloadFacts
from robustlr.schedules import Feedback
from robustlr.specs import Cell
from robustlr.training.curvature_probe import CurvatureProbe
from robustlr.training.evaluation import Evaluator
from robustlr.training.feed import Feed
from robustlr.training.keeper import Checkpoints, Keeper
from robustlr.training.learner import Learner
from robustlr.training.order import mixed_seed
from robustlr.training.provenance import provenance
from robustlr.training.recorder import CurveRecorder, Evaluation
from robustlr.training.setting import load_examples, make_accelerator, seed_torch
from robustlr.training.tracking import Tracker, Tracking
from robustlr.workloads import Batch, Workload, code_hash

_MOST_SKIPPED = 100  # fp16 updates skipped in a row before the run counts as diverged
_COUNTERS = ("step", "drawn", "skipped", "lr", "grad_norm")


def train(
    cell: Cell,
    workload: Workload,
    checkpoints: Checkpoints | None = None,
    tracking: Tracking | None = None,
) -> tuple[RunRecord, pl.DataFrame]:
    """Train one cell on the device and the ranks of this process group.

    checkpoints: where the run is put aside, and goes on from; the result is the same to the bit.
    tracking: who is told of every row of the curve.
    Returns the record (COMPLETED or DIVERGED) and the curve, equal on every rank. Raises
    SpecError where the cell cannot be trained as written, WorkloadError and DataError where the
    workload is not what it should be, CellStoppedError where `checkpoints` says to stop; and
    whatever the workload raises.
    """
    chance = workload.chance_loss
    if chance is not None and not math.isfinite(chance):
        raise WorkloadError(f"workload '{cell.workload.label}': chance_loss is {chance}")
    run = _Run(cell, workload, checkpoints, tracking)
    with closing(run.feed), closing(run.tracker):
        status = run.to_the_end()
    summary = run.recorder.summary(run.step)
    record = RunRecord(
        cell=cell,
        status=status,
        summary=summary,
        facts=WorkloadFacts(
            chance_loss=run.initial_loss if chance is None else chance,
            optimum_loss=workload.optimum_loss,
            metric=workload.metric,
        ),
        outcome=run.schedule.outcome(run.state),
        provenance={
            **provenance(str(run.accelerator.device)),
            "processes": str(run.ranks),
            "workload_code": code_hash(workload),
            **workload.provenance(),
        },
    )
    return record, run.recorder.curve()


class _Run:
    """The mutable state of one training run: `step` updates are made, `drawn` batches used.

    What decides the rest of a run is in `snapshot`, or its resumption would be another run.
    """

    def __init__(
        self,
        cell: Cell,
        workload: Workload,
        checkpoints: Checkpoints | None,
        tracking: Tracking | None,
    ) -> None:
        self.cell, self.training = cell, cell.training
        self.accelerator = make_accelerator(cell, tracking)
        device = self.accelerator.device
        self.rank, self.ranks = self.accelerator.process_index, self.accelerator.num_processes
        seed_torch(cell.seed, device)
        self.learner = Learner(cell, workload, self.accelerator)
        self.examples = load_examples(cell, workload, device)
        self.evaluator = Evaluator(workload, self.examples, self.accelerator)
        self.schedule = cell.schedule.lifted()
        self.state = self.schedule.init(cell.num_steps)
        self.probe = CurvatureProbe.requested_by(
            cell, workload, self.learner.bare_model, self.accelerator
        )
        self.recorder = CurveRecorder()
        self.step = self.drawn = self.skipped = 0
        self.lr: float | None = None
        self.grad_norm: float | None = None
        seed_torch(mixed_seed(cell.seed, self.rank), device)  # dropout differs between ranks
        self.stopping = False
        self.keeper = Keeper(checkpoints, cell, workload, self.accelerator)
        self.tracker = Tracker(tracking, cell, self.accelerator, self.keeper.note)
        self.recorder.on_row = self.tracker.log
        self.resumed = self.keeper.resume(self)
        self.feed = Feed(
            self.examples["train"], cell, rank=self.rank, ranks=self.ranks, start=self.drawn
        )

    def _begin(self) -> None:
        initial = self._evaluate()
        if not initial.finite:
            raise WorkloadError(
                f"workload '{self.cell.workload.label}': the fresh model's loss is "
                f"{initial.valid_loss} on validation and {initial.test_loss} on test: "
                "look at its data and its initialisation"
            )
        self.recorder.add_row(0, evaluation=initial)

    @property
    def initial_loss(self) -> float:
        assert self.recorder.initial is not None, "a run begins with an evaluation"
        return self.recorder.initial.valid_loss

    def weights(self) -> list[Tensor]:
        return list(self.learner.weights)

    def snapshot(self) -> dict[str, Any]:
        return {
            "learner": self.learner.state(),
            "schedule": self.schedule.dump(self.state),
            "recorder": self.recorder.state(),
            "counters": {name: getattr(self, name) for name in _COUNTERS},
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.learner.restore(snapshot["learner"])
        self.state = self.schedule.load(snapshot["schedule"])
        self.recorder.restore(snapshot["recorder"])
        for name in _COUNTERS:
            setattr(self, name, snapshot["counters"][name])

    def to_the_end(self) -> RunStatus:
        """Make every update; stop at once where a loss or a weight is not finite."""
        if not self.resumed:
            self._begin()
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
            if self.step < self.cell.num_steps:
                self.keeper.after_update(self, stop=self.stopping)
        return RunStatus.COMPLETED

    def _attempt_update(self) -> bool:
        """One update, unless the fp16 scaler skips it; False where the run has diverged."""
        before, micro = self.state, self.feed.update()
        self.drawn += 1
        loss, self.stopping = self.learner.backward(micro, self.keeper.asked_to_stop)
        if not math.isfinite(loss):
            return False
        if not self._tell_schedule(loss, micro[0]):
            return False
        self.grad_norm = self.learner.clip(measure=self._logs(self.step + 1))
        lr = self.learner.apply(self.schedule.multiplier(self.state), self.step)
        if lr is None:
            self.state = before
            self.skipped += 1
            return self.skipped <= _MOST_SKIPPED
        self.skipped, self.lr = 0, lr
        self.step += 1
        self.recorder.add_loss(loss)
        return self.learner.is_finite()

    def _tell_schedule(self, loss: float, batch: Batch) -> bool:
        """Before clipping, as an estimate may read the gradient; False where too many failed."""
        if not (self.probe and self.schedule.wants_curvature(self.state, self.step)):
            self.state = self.schedule.update(self.state, Feedback(self.step, loss))
            return True
        estimate = self.probe.estimate(self.step, batch, self.recorder.costs)
        feedback = Feedback(self.step, loss, estimate.trace, estimate.extremes)
        self.state = self.schedule.update(self.state, feedback)
        return not self.schedule.telemetry(self.state).get("curvature_failed")

    def _evaluates(self, step: int) -> bool:
        return step == self.cell.num_steps or step % self.training.eval_every == 0

    def _logs(self, step: int) -> bool:
        every = self.training.log_every
        return self._evaluates(step) or (every > 0 and step % every == 0)

    def _evaluate(self) -> Evaluation:
        with self.learner.evaluated():
            return self.evaluator.evaluate(self.learner.bare_model, self.recorder.costs)

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
