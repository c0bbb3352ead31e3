"""What an estimator of the curvature takes and returns.

Notation
    θ       the n trainable parameters; g = ∇L(θ), the gradient of the batch's mean loss
    H       ∇²L(θ), its Hessian; h its diagonal; tr H = Σ h
    v       a probe: n independent signs ±1, so that E[v ⊙ Hv] = h

An estimator sees a bare module, a closure and a batch, and nothing of the training around it.
It leaves that training alone: weights, buffers, ``.grad`` and random states are afterwards
what they were before, to the bit.
"""

from __future__ import annotations

import gc
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from robustlr.curvature.batches import batch_size
from robustlr.curvature.sharding import reshard, whole
from robustlr.curvature.sums import collected, plain_sum
from robustlr.errors import WorkloadError
from robustlr.schedules.require import require_count

LossFn = Callable[[nn.Module, Any], Tensor]
"""(model, batch) -> mean loss over the batch, a scalar with its graph."""

SampleLossFn = Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, int] | None]
"""(model, batch, generator) -> (mean loss on labels drawn from the model, number of labels)."""

Reduce = Callable[[Tensor], Tensor]
"""A tensor of any shape -> its mean over the ranks."""


_SMALLER = 2.0**8
"""From one scale to the next: three tries from 2^16 to 1, each well inside float16's 2^40."""


def identity(tensor: Tensor) -> Tensor:
    """The mean over one rank."""
    return tensor


@dataclass(frozen=True, slots=True)
class CurvatureEstimate:
    """One estimate of tr(H) at the current weights.

    trace: signed, agreed between ranks; not finite where the loss overflows.
    diagonal: h by parameter name, this rank's own (a shard where the parameter is one); empty
        where only the trace was asked for.
    extremes: n·min(h) and n·max(h), between which n·mean(h) = tr(H) lies; agreed between ranks;
        None without a diagonal.
    cost: in example passes of this rank (forward and backward over one example = 1), those of
        tries that overflowed included.
    """

    trace: float
    diagonal: dict[str, Tensor]
    extremes: tuple[float, float] | None
    cost: float


@dataclass(frozen=True, slots=True)
class Problem:
    """What one estimate is made on; the arguments of `Estimator.estimate`."""

    model: nn.Module
    batch: Any
    generator: torch.Generator
    loss_fn: LossFn
    sample_loss_fn: SampleLossFn | None
    reduce: Reduce
    loss_scale: float

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name, tied ones once."""
        # torch.compile's wrapper would put "_orig_mod." in front of every name.
        model = getattr(self.model, "_orig_mod", self.model)
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def scaled_loss(self) -> Tensor:
        """The mean loss times `loss_scale`. Raises WorkloadError where it has no gradient."""
        return self.checked(self.loss_fn(self.model, self.batch)) * self.loss_scale

    def checked(self, loss: Tensor) -> Tensor:
        """`loss`, if it is a scalar that can be differentiated."""
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise WorkloadError(f"the loss must be a scalar, the batch's mean; got {shape}")
        if not loss.requires_grad:
            kind = "is detached from the parameters" if loss.is_floating_point() else "is integer"
            raise WorkloadError(
                f"the loss {kind} and has no gradient: return it with its graph, or use "
                "estimator = 'squared_gradient', which needs only the step's own gradient"
            )
        return loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator(ABC):
    """A way to estimate tr(H).

    probes: independent draws averaged per estimate; its error falls as 1/√probes.
    """

    name: ClassVar[str]
    scales_loss: ClassVar[bool] = True
    """Whether `loss_scale` is this estimator's to choose: not where ``.grad`` has it already."""
    probes: int = 1

    def __post_init__(self) -> None:
        require_count("probes", self.probes)

    def estimate(
        self,
        model: nn.Module,
        batch: Any,
        generator: torch.Generator,
        *,
        loss_fn: LossFn,
        sample_loss_fn: SampleLossFn | None = None,
        reduce: Reduce = identity,
        loss_scale: float = 1.0,
        diagonal: bool = True,
    ) -> CurvatureEstimate:
        """Estimate the curvature of ``loss_fn(model, batch)`` at the model's weights.

        model: the module itself, not DDP's wrapper; FSDP2 and torch.compile's are welcome.
        generator: source of the probes, on the model's device; see `probe_generator`.
        reduce: mean over ranks. Every rank must call, each with its own data and generator.
        loss_scale: factor on the loss, divided out again, for float16's narrow range; for
            `squared_gradient` the factor that ``.grad`` still carries. It fits first derivatives
            and can be too much for second ones: where the estimate is not finite, the same
            probes are tried at a 256th of it, and so on down to 1. All ranks do alike.
        diagonal: False for the trace alone, which then differs by rounding and takes less memory.

        Raises WorkloadError, with the name of an estimator that would work, where this one
        cannot.
        """
        if isinstance(model, DistributedDataParallel):
            raise WorkloadError(
                "the estimators need the bare module: pass model.module instead of DDP's wrapper"
            )
        reshard(model)  # or the weights and gradients to read are not the shards
        if not any(p.requires_grad for p in model.parameters()):
            raise WorkloadError("the model has no trainable parameter, hence no curvature")
        first = Problem(model, batch, generator, loss_fn, sample_loss_fn, reduce, loss_scale)
        once = self.passes * batch_size(batch) if self.passes else 0.0
        start, cost = generator.get_state(), 0.0
        for scale in self._scales(loss_scale):
            generator.set_state(start)
            found, summary = self._attempt(replace(first, loss_scale=scale), diagonal)
            cost += once
            # As reduced, so that every rank goes on or stops here.
            trace, *extremes = reduce(summary).tolist()
            if all(map(math.isfinite, (trace, *extremes))):
                break
        ends = (extremes[0], extremes[1]) if diagonal else None
        return CurvatureEstimate(trace, found, ends, cost)

    def _scales(self, loss_scale: float) -> Iterator[float]:
        """`loss_scale`, and what to try after it where the estimate overflows."""
        yield loss_scale
        while self.scales_loss and loss_scale > 1.0:
            loss_scale = max(loss_scale / _SMALLER, 1.0)
            yield loss_scale

    def _attempt(self, problem: Problem, diagonal: bool) -> tuple[dict[str, Tensor], Tensor]:
        """The diagonal, or nothing; and this rank's summary of it, or the trace alone."""
        with torch.enable_grad(), _enough_examples(), _uncollected():
            if diagonal:
                found = self._diagonal(problem)
                return found, _summary(found)
            return {}, self._trace(problem)[None]

    @property
    @abstractmethod
    def passes(self) -> float:
        """Cost per example of the batch, in forward and backward passes."""

    @abstractmethod
    def _diagonal(self, problem: Problem) -> dict[str, Tensor]:
        """h by parameter name, averaged over the probes; parameters without a part left out."""

    def _trace(self, problem: Problem) -> Tensor:
        """Σ h, a scalar; for an estimator that can do it without the whole of h at once."""
        return _trace_of(self._diagonal(problem).values())


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection within: a graph has thousands of objects, all freed by counting, and
    to look at them in between takes a tenth of an estimate of a small model.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _enough_examples() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise WorkloadError(
            "BatchNorm needs more than one example and the sub-batch has one: raise "
            "batch_fraction, or use estimator = 'squared_gradient'"
        ) from error


def _trace_of(diagonal: Iterable[Tensor]) -> Tensor:
    return collected(plain_sum(whole(h.detach())) for h in diagonal)


def _summary(diagonal: dict[str, Tensor]) -> Tensor:
    """tr, n·min and n·max of a diagonal, shape [3]."""
    parts = [whole(h.detach()) for h in diagonal.values() if h.numel()]
    trace = _trace_of(parts)
    n = sum(h.numel() for h in parts)
    ends = [torch.aminmax(h) for h in parts]
    low = torch.stack([end.min.to(trace.device, trace.dtype) for end in ends]).min()
    high = torch.stack([end.max.to(trace.device, trace.dtype) for end in ends]).max()
    return torch.stack([trace, n * low, n * high])
