"""The control: the squared gradient of the step, which is free and not a curvature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from robustlr.curvature.base import Estimator, Problem
from robustlr.curvature.sharding import whole
from robustlr.curvature.sums import collected, squared_sum
from robustlr.errors import WorkloadError


@dataclass(frozen=True, slots=True, kw_only=True)
class SquaredGradient(Estimator):
    """h = g², read from ``.grad``: after the step's backward, before clipping and the update.

    A schedule that does as well with ‖g‖² as with tr(H) owes nothing to curvature. ‖g‖² was
    0.36 to 2.5 times tr(H) and vanishes with the loss. Neither the batch nor the loss is used.
    """

    name: ClassVar[str] = "squared_gradient"
    scales_loss: ClassVar[bool] = False

    @property
    def passes(self) -> float:
        return 0.0

    def _diagonal(self, problem: Problem) -> dict[str, Tensor]:
        scale = problem.loss_scale
        return {name: (g / scale).square() for name, g in _gradients(problem).items()}

    def _trace(self, problem: Problem) -> Tensor:
        norms = (squared_sum(whole(g)) for g in _gradients(problem).values())
        return collected(norms) / problem.loss_scale**2


def _gradients(problem: Problem) -> dict[str, Tensor]:
    """``.grad`` by name. Raises WorkloadError where no parameter has one."""
    held = {n: p.grad.detach() for n, p in problem.parameters().items() if p.grad is not None}
    if not held:
        raise WorkloadError(
            "squared_gradient reads the step's gradient, and there is none: call it after "
            "backward and before zero_grad, or use estimator = 'hutchinson'"
        )
    return held
