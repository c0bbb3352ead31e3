"""The curvature-adaptive schedule in somebody's own loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from robustlr.curvature import (
    LossFn,
    SampleLossFn,
    leading_examples,
    make_estimator,
    probe_generator,
)
from robustlr.errors import SpecError
from robustlr.schedules import Feedback
from robustlr.torch_schedulers.base import ScheduleLike, TorchScheduler
from robustlr.torch_schedulers.ranks import mean_over_ranks, rank, world_size


class CurvatureAdaptiveLR(TorchScheduler):
    """η_t = η_0/√(1 + λ·tr(H_t)), with tr(H_t) estimated every few updates.

    optimizer, num_steps: see `TorchScheduler`. model: as you train it; DDP's wrapper is taken off.
    loss_fn: (model, batch) -> the batch's mean loss, the one that you train with.
    schedule: anything that `robustlr.schedules.CurvatureAdaptive` can be told, as an object or a
        shorthand such as "curvature_adaptive:anneal=cosine,every=50+warmup".
    sample_loss_fn: (model, batch, generator) -> (mean loss on labels drawn from the model, their
        number); for estimator = "gauss_newton" alone.
    seed: of the probes; give every rank the same.

    Call ``step(batch)`` on every rank between ``backward`` and ``optimizer.step()``:

    >>> import torch
    >>> from robustlr.torch_schedulers import CurvatureAdaptiveLR
    >>> def loss_fn(model, batch):
    ...     return torch.nn.functional.mse_loss(model(batch[0]), batch[1])
    >>> model, batches = torch.nn.Linear(4, 1), [(torch.randn(8, 4), torch.randn(8, 1))] * 20
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> scheduler = CurvatureAdaptiveLR(optimizer, model, loss_fn, num_steps=20)
    >>> for batch in batches:
    ...     optimizer.zero_grad()
    ...     loss_fn(model, batch).backward()
    ...     scheduler.step(batch)
    ...     optimizer.step()
    >>> 0.0 < scheduler.get_last_lr()[0] <= 0.1
    True

    With Accelerate, prepare everything but the scheduler; under gradient accumulation call it for
    every micro-batch, as the optimizer (the first of an update decides). For estimator =
    "squared_gradient", which reads ``.grad``, and under FSDP2, which holds gradients back until
    then, call it after the last backward alone:

    >>> from accelerate import Accelerator
    >>> accelerator = Accelerator(gradient_accumulation_steps=2)
    >>> model, optimizer = accelerator.prepare(model, optimizer)
    >>> scheduler = CurvatureAdaptiveLR(optimizer, model, loss_fn, num_steps=10)
    >>> for batch in batches:
    ...     with accelerator.accumulate(model):
    ...         accelerator.backward(loss_fn(model, batch))
    ...         scheduler.step(batch)
    ...         optimizer.step()
    ...         optimizer.zero_grad()
    >>> scheduler.updates
    10
    """

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        loss_fn: LossFn,
        *,
        num_steps: int,
        schedule: ScheduleLike = "curvature_adaptive",
        sample_loss_fn: SampleLossFn | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, schedule, num_steps=num_steps)
        request = self.schedule.curvature_request
        if request is None:
            raise SpecError(f"'{self.schedule.label}' asks for no curvature: use ScheduleLR")
        self.curvature_passes = 0.0
        """Cost of all ranks' estimates so far, in example passes."""
        self._estimator = make_estimator(request.estimator, probes=request.probes)
        self._fraction, self._extremes = request.batch_fraction, request.extremes
        self._model, self._loss_fn, self._sample_loss_fn = _bare(model), loss_fn, sample_loss_fn
        self._seed = seed

    def step(self, batch: Any, *, loss_scale: float = 1.0) -> None:
        """Set the learning rate of the next update, with a new estimate where one is due.

        batch: this rank's; the leading examples of it are used. loss_scale: the factor of
            float16's gradient scaler (``scaler.get_scale()``); second derivatives that overflow
            at it are made at a smaller one.

        An estimate that is not finite is passed over; after `max_skipped` of them in a row there
        is a RuntimeWarning, and the learning rate stays where it was.
        """
        step = self._next_step
        if step is None:
            return
        if not self._lifted.wants_curvature(self._state, step):
            self._decide(Feedback(step, math.nan))
            return
        device = next(self._model.parameters()).device
        estimate = self._estimator.estimate(
            self._model,
            leading_examples(batch, self._fraction),
            probe_generator(self._seed, step, rank(), device),
            loss_fn=self._loss_fn,
            sample_loss_fn=self._sample_loss_fn,
            reduce=mean_over_ranks,
            loss_scale=loss_scale,
            diagonal=self._extremes,
        )
        self.curvature_passes += estimate.cost * world_size()
        failed = bool(self.telemetry.get("curvature_failed"))
        self._decide(Feedback(step, math.nan, estimate.trace, estimate.extremes))
        if self.telemetry.get("curvature_failed") and not failed:
            warnings.warn(
                "the last estimates of the curvature were not finite: training has diverged",
                RuntimeWarning,
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"curvature_passes": self.curvature_passes}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        super().load_state_dict(values)
        self.curvature_passes = values["curvature_passes"]


def _bare(model: nn.Module) -> nn.Module:
    """`model` without DDP's wrapper, which has no second derivative; compiled or not."""
    original = getattr(model, "_orig_mod", model)
    return original.module if isinstance(original, DistributedDataParallel) else model
