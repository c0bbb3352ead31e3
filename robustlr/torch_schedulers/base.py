"""What every drop-in scheduler shares: counting updates, setting lr, saving and resuming.

The learning rate is a function of t, the number of updates that the optimizer has really made,
which a hook on the optimizer counts. ``step()`` never counts anything itself; it only says "set
the learning rate of the next update". Hence

- it may stand before ``optimizer.step()`` (the decision then sees this very update's loss and
  gradient, as in a study) or after it, as torch's schedulers do (then it sees those of the update
  before);
- calling it once per micro-batch, once per rank and update, or for an update that float16
  loss scaling then skips, does no harm: the first call for an update decides, others do nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule, Feedback, parse, to_table
from robustlr.schedules.require import require_count
from robustlr.torch_schedulers.ranks import mean_number

ScheduleLike = AnySchedule | str | Mapping[str, Any]


class TorchScheduler:
    """Base of the drop-in schedulers; subclasses offer ``step``, with what their feedback needs.

    optimizer: torch's, or Accelerate's around it. Each parameter group's learning rate at
        construction is its peak_lr; the schedule multiplies it.
    schedule: a schedule, its table, or its shorthand such as "cosine+warmup=0.05".
    num_steps: T, the horizon in updates, warmup included. Later updates keep the multiplier of T.

    Do not hand it to ``accelerator.prepare``: there is nothing to prepare.
    """

    def __init__(self, optimizer: Optimizer, schedule: ScheduleLike, *, num_steps: int) -> None:
        bare = getattr(optimizer, "optimizer", optimizer)  # Accelerate's wrapper has no hooks
        if not isinstance(bare, Optimizer):
            raise SpecError(f"a torch optimizer is needed, got {type(optimizer).__name__}")
        require_count("num_steps", num_steps)
        self.optimizer = bare
        self.schedule = parse(schedule)
        self.num_steps = int(num_steps)  # of numpy, which is no JSON, too
        self.peak_lrs: list[float] = []
        self.updates = 0
        self.finite = True
        """Whether the loss last given to ``step``, its mean over ranks, was finite.

        Equal on every rank, unlike ``loss.isfinite()``: ask it whether to apply the gradient.
        """
        self._lifted = self.schedule.lifted()
        self._state = self._lifted.init(self.num_steps)
        self._decided: int | None = None  # the update that the state was last made for
        self._last_lr: list[float] = []
        bare.register_step_post_hook(self._count)
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The learning rate set last, one per parameter group."""
        return list(self._last_lr)

    @property
    def telemetry(self) -> dict[str, float]:
        """What the schedule would log now: the smoothed trace, say."""
        return dict(self._lifted.telemetry(self._state))

    @property
    def outcome(self) -> dict[str, int | float | str | None]:
        """What the schedule has to say about the run so far: when its warmup ended, say."""
        return dict(self._lifted.outcome(self._state))

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON-ready values; equal on every rank."""
        return {
            "schedule": to_table(self.schedule),
            "num_steps": self.num_steps,
            "peak_lrs": list(self.peak_lrs),
            "updates": self.updates,
            "decided": self._decided,
            "state": self._lifted.dump(self._state),
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, also after a round trip through JSON.

        Raises SpecError for the state of another schedule, horizon or set of parameter groups, and
        for what is no such state at all.
        """
        missing = [key for key in self.state_dict() if key not in values]
        if missing:
            raise SpecError(
                f"this is no state of a {type(self).__name__}: it lacks {', '.join(missing)}"
            )
        theirs = parse(values["schedule"])
        if theirs != self.schedule or values["num_steps"] != self.num_steps:
            raise SpecError(
                f"the state is that of '{theirs.label}' over {values['num_steps']} updates, this "
                f"scheduler is '{self.schedule.label}' over {self.num_steps}"
            )
        if len(values["peak_lrs"]) != len(self.optimizer.param_groups):
            raise SpecError(
                f"the state has {len(values['peak_lrs'])} parameter groups, the optimizer has "
                f"{len(self.optimizer.param_groups)}"
            )
        self.peak_lrs = list(values["peak_lrs"])
        self.updates = values["updates"]
        self._decided = values["decided"]
        self._state = self._lifted.load(values["state"])
        self._apply()

    @property
    def _next_step(self) -> int | None:
        """t of the update to decide on; None where that is decided already."""
        step = min(self.updates, self.num_steps)
        return None if step == self._decided else step

    def _decide(self, feedback: Feedback) -> None:
        """Let the schedule see `feedback`, and set the learning rate of its update."""
        self._state = self._lifted.update(self._state, feedback)
        self._decided = feedback.step
        self._apply()

    def _see(self, loss: float | Tensor) -> None:
        """Note the mean of the ranks' losses, and `_decide` on it where that is still to do."""
        device = self.optimizer.param_groups[0]["params"][0].device
        mean = mean_number(_as_number(loss), device)
        self.finite = math.isfinite(mean)
        step = self._next_step
        if step is not None:
            self._decide(Feedback(step, mean))

    def _apply(self) -> None:
        multiplier = self._lifted.multiplier(self._state)
        groups = self.optimizer.param_groups
        for group in groups[len(self.peak_lrs) :]:  # groups may be added later
            self.peak_lrs.append(float(group["lr"]))
        self._last_lr = [peak_lr * multiplier for peak_lr in self.peak_lrs]
        for group, lr in zip(groups, self._last_lr, strict=True):
            if isinstance(group["lr"], Tensor):  # read by captured or compiled updates
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _count(self, *_: object) -> None:
        self.updates += 1


def _as_number(loss: object) -> float:
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return float(loss.detach())
    if isinstance(loss, Real):
        return float(loss)
    got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise SpecError(f"step() needs the update's mean training loss, one number; got {got}")
