"""Hutchinson's estimator of the true, signed Hessian, by double backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from robustlr.curvature.base import Estimator, Problem
from robustlr.curvature.double_backward import DoubleBackward
from robustlr.curvature.gradients import gradient
from robustlr.curvature.parts import kind_of
from robustlr.curvature.probes import add_product, signs
from robustlr.curvature.sharding import is_sharded
from robustlr.curvature.snapshot import untouched
from robustlr.curvature.sums import collected
from robustlr.errors import WorkloadError

_FIRST_ORDER = "use estimator = 'gauss_newton' or 'finite_difference'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hutchinson(Estimator):
    """h = E[v ⊙ Hv], with Hv = ∇(gᵀv), so that tr(H) = E[vᵀHv].

    Unbiased for H itself. The double backward costs about three passes per probe after the one
    that builds the graph: one probe on a full batch was measured at 4.1 (MLP), 4.9 (ResNet)
    and 3.4 (transformer) passes, and counts as 4.

    It runs on the original module where the model is compiled, and with the mathematical
    attention kernel, as neither compiled graphs nor fused kernels have a second derivative. A
    custom kernel that lacks one is refused where autograd is told (once_differentiable); where
    it is not, its part is missing: compare with finite_difference once.

    Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1989.
    """

    name: ClassVar[str] = "hutchinson"

    @property
    def passes(self) -> float:
        return 1.0 + 3.0 * self.probes

    def _diagonal(self, problem: Problem) -> dict[str, Tensor]:
        weight = 1.0 / (problem.loss_scale * self.probes)
        total: dict[str, Tensor] = {}
        with _double_backward(problem) as second:
            for left in reversed(range(self.probes)):
                v = signs(second.parameters, problem.generator)
                product = second.product(v, keep_graph=left > 0)
                for name, p in second.parameters.items():  # each freed as it is used
                    add_product(total, name, v.pop(name).to(p.dtype), product.pop(name), weight)
        return total

    def _trace(self, problem: Problem) -> Tensor:
        with _double_backward(problem) as second:
            terms = [
                second.quadratic(signs(second.parameters, problem.generator), keep_graph=left > 0)
                for left in reversed(range(self.probes))
            ]
        return collected(terms) / (problem.loss_scale * self.probes)


@contextmanager
def _double_backward(problem: Problem) -> Iterator[DoubleBackward]:
    """The double backward of the problem's loss. Raises WorkloadError where there is none."""
    if is_sharded(problem.model):
        raise WorkloadError(f"FSDP has no double backward, which hutchinson needs: {_FIRST_ORDER}")
    # Checkpointed parts choose their kernel again during the backward passes.
    with untouched(problem.model), _eager(problem.model), sdpa_kernel(SDPBackend.MATH):
        second = DoubleBackward(problem.scaled_loss(), problem.parameters())
        _refuse_dead_ends(second)
        if not second.parameters:
            raise WorkloadError(_without_second_derivative(problem))
        try:
            yield second
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise WorkloadError(
                f"hutchinson needs a second derivative, which this model lacks ({reason}): "
                + _FIRST_ORDER
            ) from error


def _without_second_derivative(problem: Problem) -> str:
    """What to say of a loss whose gradient does not depend on the parameters."""
    slopes = gradient(problem.scaled_loss(), problem.model, problem.parameters())
    if not any(bool(g.any()) for g in slopes.values()):
        return (
            "the loss is piecewise constant (by round, sign or argmax, say): its gradient is 0 and "
            "so is its trace, whatever the estimator; return a loss that the parameters change"
        )
    return (
        "the loss has no second derivative: it is linear in the parameters, or a "
        "kernel hides it; use estimator = 'finite_difference'"
    )


def _refuse_dead_ends(second: DoubleBackward) -> None:
    """Raise WorkloadError where a kernel is marked as differentiable once.

    The mark is an error node that autograd only runs into when asked for gradients beyond it;
    asked for the parameters' it goes around, and the kernel's part of H would silently be lost.
    """
    if any(kind_of(node) == "Error" for node in second.graph):  # torch::autograd::Error
        raise WorkloadError(
            "hutchinson needs a second derivative, and a custom kernel of this model is marked "
            f"once_differentiable: {_FIRST_ORDER}"
        )


@contextmanager
def _eager(model: nn.Module) -> Iterator[None]:
    """Run compiled (parts of) modules as they were written."""
    compiled = any(
        hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
        for module in model.modules()
    )
    if not compiled:  # set_stance loads the compiler, which takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
