"""Automated warmup in somebody's own loop."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer

from robustlr.errors import SpecError
from robustlr.schedules import AutoWarmup
from robustlr.torch_schedulers.base import ScheduleLike, TorchScheduler


class AutoWarmupLR(TorchScheduler):
    """Raise the learning rate until the loss has passed its minimum, go back there, decay.

    optimizer, num_steps: see `TorchScheduler`. The optimizer's learning rate is the highest that
        the warmup may reach: choose it far too large rather than too small.
    schedule: a `robustlr.schedules.AutoWarmup` or a shorthand such as
        "auto_warmup:after=constant".

    Call ``step(loss)`` on every rank, between ``backward`` and ``optimizer.step()``:

    >>> import torch
    >>> from robustlr.torch_schedulers import AutoWarmupLR
    >>> generator = torch.Generator().manual_seed(0)
    >>> weight = torch.nn.Parameter(torch.ones(4))
    >>> optimizer = torch.optim.SGD([weight], lr=100.0)
    >>> scheduler = AutoWarmupLR(optimizer, num_steps=400)
    >>> for _ in range(400):
    ...     x = torch.randn(16, 4, generator=generator)
    ...     noise = 0.3 * torch.randn(16, generator=generator)
    ...     optimizer.zero_grad()
    ...     loss = ((x @ weight - x[:, 0] - noise) ** 2).mean()
    ...     loss.backward()
    ...     scheduler.step(loss)
    ...     if scheduler.finite:
    ...         optimizer.step()
    >>> scheduler.warming_up, scheduler.outcome["warmup_reason"]
    (False, 'loss_exploded')

    A loss that is not finite ends the warmup, but no learning rate revives weights that are not
    finite: do not apply its gradient, as above. ``scheduler.finite`` is the ranks' common answer;
    a rank that left out an update by its own loss would leave the others waiting for it. Where
    the loss stays like that the weights are dead, and only a checkpoint helps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        num_steps: int,
        schedule: ScheduleLike = "auto_warmup",
    ) -> None:
        super().__init__(optimizer, schedule, num_steps=num_steps)
        if not isinstance(self.schedule, AutoWarmup):
            raise SpecError(f"'{self.schedule.label}' is no auto_warmup: use ScheduleLR")

    @property
    def warming_up(self) -> bool:
        """Whether the learning rate still rises."""
        return self.outcome["warmup_switch_step"] is None

    def step(self, loss: float | Tensor) -> None:
        """Set the learning rate of the next update.

        loss: the update's mean training loss over this rank's batch; its mean over ranks is what
            decides. Of several calls for one update the first decides, and `finite` is about the
            last: under gradient accumulation call once, with the mean of the micro-batches.
            Raises SpecError unless it is one number.
        """
        self._see(loss)
