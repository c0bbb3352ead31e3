"""Any schedule that needs no more than the training loss."""

from __future__ import annotations

import math

from torch import Tensor
from torch.optim import Optimizer

from robustlr.errors import SpecError
from robustlr.schedules import Feedback
from robustlr.schedules.base import Lifted
from robustlr.torch_schedulers.base import ScheduleLike, TorchScheduler


class ScheduleLR(TorchScheduler):
    """A schedule of a study on an optimizer of yours.

    Pure schedules (cosine, wsd, ...) take ``step()``; those that learn from training take
    ``step(loss=...)`` on every rank. See `TorchScheduler` for the arguments.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> scheduler = ScheduleLR(optimizer, "linear", num_steps=4)
    >>> for _ in range(4):
    ...     weight.grad = torch.ones(1)
    ...     scheduler.step()
    ...     optimizer.step()
    ...     print(*scheduler.get_last_lr())
    0.1
    0.07500000000000001
    0.05
    0.025
    """

    def __init__(self, optimizer: Optimizer, schedule: ScheduleLike, *, num_steps: int) -> None:
        super().__init__(optimizer, schedule, num_steps=num_steps)
        if self.schedule.curvature_request is not None:
            raise SpecError(
                f"'{self.schedule.label}' needs estimates of the curvature: use CurvatureAdaptiveLR"
            )

    def step(self, *, loss: float | Tensor | None = None) -> None:
        """Set the learning rate of the next update.

        loss: the update's mean training loss over this rank's batch; its mean over ranks is
            what the schedule sees. Only schedules that learn from training need it.
        """
        if not isinstance(self._lifted, Lifted):
            if loss is None:
                raise SpecError(
                    f"'{self.schedule.label}' learns from the loss: call step(loss=...)"
                )
            self._see(loss)
            return
        step = self._next_step
        if step is not None:  # pure: it looks at the step alone
            self._decide(Feedback(step, math.nan))
