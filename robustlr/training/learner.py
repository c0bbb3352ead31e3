"""The model of a run and its optimizer: a backward pass, clipping, and one update at a given lr.

Accelerate places the model and wraps it for DDP, FSDP and mixed precision. The bare optimizer is
driven (a prepared one costs half an update of a small model), except under the fp16 scaler, which
lives in Accelerate's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from robustlr.curvature.sharding import local, whole
from robustlr.errors import WorkloadError
from robustlr.optimizers import build_optimizer
from robustlr.specs import Cell
from robustlr.training import random_state
from robustlr.training.averaging import WeightAverage
from robustlr.training.compiling import compiled
from robustlr.training.evaluation_weights import begin_training, evaluation_weights
from robustlr.training.layout import use_channels_last
from robustlr.training.optimizer_state import optimizer_state, restore_optimizer
from robustlr.training.order import mixed_seed
from robustlr.training.recomputation import use_checkpointing
from robustlr.training.setting import make_model
from robustlr.training.shards import shard, share_buffers
from robustlr.workloads import Batch, Workload

_UPDATE = 2  # with seed and step, the seed of what an optimizer draws


class Learner:
    """bare_model: what the workload built. model: the same weights, wrapped for this group.

    torch's generators must be seeded with the cell's seed before.
    """

    def __init__(self, cell: Cell, workload: Workload, accelerator: Accelerator) -> None:
        self._workload, self._accelerator, self._training = workload, accelerator, cell.training
        self._peak_lr, self._seed = cell.peak_lr, cell.seed
        options = self._training
        self.bare_model = make_model(workload, cell.seed).to(accelerator.device)
        if options.channels_last:
            use_channels_last(self.bare_model)
        if options.gradient_checkpointing:
            use_checkpointing(self.bare_model)
        self._sharded = options.accelerate_config is not None
        if options.accelerate_config is not None:
            shard(self.bare_model, options.accelerate_config, accelerator)
        self.weights = list(self.bare_model.parameters())
        self._values = [local(weight.detach()) for weight in self.weights]
        self.average = (
            WeightAverage(self.bare_model, options.ema_decay) if options.ema_decay else None
        )
        self.optimizer = build_optimizer(cell.optimizer, self.weights, self._peak_lr)
        begin_training(self.optimizer)
        # a factory's groups keep their learning rates relative to one another
        self._lr_shares = [group["lr"] / self._peak_lr for group in self.optimizer.param_groups]
        # in "evaluation mode" Accelerate adds autocast and no wrapper: the model is cut already
        self.model: nn.Module = accelerator.prepare_model(
            self.bare_model, evaluation_mode=self._sharded
        )
        if options.compile:
            self.model = compiled(self.model)
        self._scaled = options.precision == "fp16"
        if self._scaled:
            self.optimizer = accelerator.prepare_optimizer(self.optimizer)

    def backward(self, micro: list[Batch], stop: Callable[[], bool]) -> tuple[float, bool]:
        """Gradient of the mean loss over the update's batch; (the loss, whether to stop).

        micro: this rank's share of every micro-batch. stop: asked whether this rank is to stop;
        both answers are agreed between ranks, in one reduction.
        """
        if self._sharded:
            share_buffers(self.bare_model)
        total: Tensor | None = None
        for position, batch in enumerate(micro):
            with self._synchronised(position + 1 == len(micro)):
                loss = checked_loss(self._workload.loss(self.model, batch))
                share = loss / len(micro) if len(micro) > 1 else loss
                if self._scaled:
                    self._accelerator.backward(share)
                else:
                    torch.autograd.backward(share)
            total = share.detach() if total is None else total + share.detach()
        assert total is not None, "an update has at least one micro-batch"
        if self._accelerator.num_processes == 1:
            return float(total), stop()
        both = torch.stack([total.double().reshape(()), total.new_tensor(stop()).double()])
        mean_loss, stopped = self._accelerator.reduce(both, reduction="mean").tolist()
        return mean_loss, stopped > 0.0

    def _synchronised(self, synchronise: bool) -> AbstractContextManager[Any]:
        if self._sharded:
            self.bare_model.set_requires_gradient_sync(synchronise)  # type: ignore[operator]
            return nullcontext()
        if synchronise or self._accelerator.num_processes == 1:
            return nullcontext()
        return self._accelerator.no_sync(self.model)  # type: ignore[no-any-return]

    def clip(self, *, measure: bool) -> float | None:
        """Clip the gradient where the spec says so; its norm before, where it is to be shown."""
        limit = self._training.clip_norm
        if limit is not None:
            norm = self._accelerator.clip_grad_norm_(self.weights, limit)
        elif measure:
            if self._scaled:
                self._accelerator.unscale_gradients()
            gradients = [weight.grad for weight in self.weights if weight.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
        return float(whole(norm)) if measure else None

    def apply(self, multiplier: float, step: int) -> float | None:
        """One update at peak_lr · multiplier; the lr, or None where the fp16 scaler skipped it.

        step: updates before this one.
        """
        lr = self._peak_lr * multiplier
        for group, share in zip(self.optimizer.param_groups, self._lr_shares, strict=True):
            group["lr"] = lr * share
        with self._drawing_alike(step):
            self.optimizer.step()
        for weight in self.weights:
            weight.grad = None
        if self._scaled and self._accelerator.optimizer_step_was_skipped:
            return None
        self._workload.project(self.bare_model)
        if self.average is not None:
            if self._accelerator.num_processes > 1:  # or each would average statistics of its own
                share_buffers(self.bare_model)
            with evaluation_weights(self._bare_optimizer(), self.weights):
                self.average.update()
        return lr

    def _drawing_alike(self, step: int) -> AbstractContextManager[None]:
        """Inside, an optimizer that adds noise draws the same on every rank.

        The ranks' generators differ, for dropout: replicas would drift apart.
        """
        if self._accelerator.num_processes == 1:
            return nullcontext()
        seed = mixed_seed(self._seed, step, _UPDATE)
        return random_state.begun_at(seed, self._accelerator.device)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside, the bare model has the weights to evaluate.

        They are the optimizer's own choice where it has one, and their average where one is kept.
        """
        average = nullcontext() if self.average is None else self.average.in_place_of_weights()
        with evaluation_weights(self._bare_optimizer(), self.weights), average:
            yield

    def is_finite(self) -> bool:
        """Whether every weight is, on every rank."""
        finite = self._mine_are_finite()
        if not self._sharded:  # replicas are equal
            return finite
        device = self._accelerator.device
        share = self._accelerator.reduce(torch.tensor(float(finite), device=device), "mean")
        return float(share) == 1.0

    def _mine_are_finite(self) -> bool:
        if self._values[0].is_cuda:  # few kernels and one wait, however many weights
            return math.isfinite(torch.nn.utils.get_total_norm(self._values, math.inf))
        total = 0.0
        for value in self._values:
            total += value.sum().item()
        # a finite sum has finite terms; the other way round needs a closer look
        return math.isfinite(total) or all(bool(value.isfinite().all()) for value in self._values)

    def state(self) -> dict[str, Any]:
        """Everything that an update changes: weights, their average, buffers, optimizer, scaler."""
        scaler = self._accelerator.scaler
        return {
            "model": self.bare_model.state_dict(),
            "buffers": self._unsaved_buffers(),
            "average": self.average.state() if self.average else None,
            "optimizer": optimizer_state(self._bare_optimizer()),
            "scaler": scaler.state_dict() if scaler else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`. Raises ValueError, and changes nothing, for another model's."""
        ours = {**self.bare_model.state_dict(), **self._unsaved_buffers()}
        theirs = {**state["model"], **state["buffers"]}
        if {k: _kind(v) for k, v in ours.items()} != {k: _kind(v) for k, v in theirs.items()}:
            raise ValueError("is of another model")
        if len(state["optimizer"]["groups"]) != len(self.optimizer.param_groups):
            raise ValueError("is of another optimizer")
        self.bare_model.load_state_dict(state["model"])
        with torch.no_grad():
            for name, buffer in self._unsaved_buffers().items():
                buffer.copy_(state["buffers"][name])
        if self.average is not None:
            self.average.restore(state["average"])
        restore_optimizer(self._bare_optimizer(), state["optimizer"])
        if self._accelerator.scaler and state["scaler"]:
            self._accelerator.scaler.load_state_dict(state["scaler"])

    def _unsaved_buffers(self) -> dict[str, Tensor]:
        """Those that a state_dict leaves out."""
        saved = self.bare_model.state_dict()
        return {k: v for k, v in self.bare_model.named_buffers() if k not in saved}

    def _bare_optimizer(self) -> torch.optim.Optimizer:
        return self.optimizer.optimizer if self._scaled else self.optimizer  # type: ignore[attr-defined]


def _kind(value: Any) -> Any:
    return (value.shape, value.dtype) if isinstance(value, Tensor) else type(value)


def checked_loss(loss: Any) -> Tensor:
    """`loss` if it is what a workload must return. Raises WorkloadError."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shown = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise WorkloadError(f"a workload's loss must be a scalar tensor, the mean; got {shown}")
    if not loss.requires_grad:
        raise WorkloadError("a workload's loss must depend on the model's weights; it has no graph")
    return loss
