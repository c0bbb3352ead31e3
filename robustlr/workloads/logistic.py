"""Synthetic logistic regression, smooth and convex, with its optimum known.

    f(w) = (1/n)·Σ_i log(1 + exp(−y_i·⟨a_i, w⟩)),   ‖w‖ ≤ radius·‖w*‖

a_i ~ N(0, I_d), y_i = sign(⟨a_i, w_true⟩) flipped with probability `noise`. The objective is
training, validation and test loss in one: the excess f(w) − f(w*) is exact. An example is the one
row y_i·a_i, which is all that the loss sees of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.errors import SpecError
from robustlr.workloads.base import Batch, Split, TensorExamples, Workload
from robustlr.workloads.projection import project_onto_ball


@dataclass(frozen=True, kw_only=True)
class Logistic(Workload):
    """Projected SGD from w = 0; double precision throughout.

    dim: d. samples: n > d. noise: share of flipped labels, in (0, 0.5).
    radius: of the domain, as a multiple of ‖w*‖; its diameter D is twice that.
    data_seed: of the data; the cell's seed sets the order of the examples.
    """

    kind: Literal["logistic"] = "logistic"
    dim: int = 20
    samples: int = 2000
    noise: float = 0.1
    radius: float = 2.0
    data_seed: int = 0

    metric: ClassVar[str] = "excess"

    def __post_init__(self) -> None:
        if self.dim < 1 or self.samples <= self.dim:
            raise SpecError(f"need samples > dim >= 1, got {self.samples} and {self.dim}")
        if not 0.0 < self.noise < 0.5:
            raise SpecError(f"noise must be in (0, 0.5), got {self.noise}")
        if not (math.isfinite(self.radius) and self.radius >= 1.0):
            raise SpecError(f"radius must be at least 1 (times the optimum), got {self.radius}")

    @property
    def chance_loss(self) -> float:
        return math.log(2.0)

    @property
    def optimum_loss(self) -> float:
        return self._optimum_loss

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(self.dim, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        return model

    def examples(self, split: Split, seed: int) -> TensorExamples:
        return TensorExamples(self._rows)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return functional.softplus(-model(batch[0])).mean()

    def score(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = self.loss(model, batch)
        return loss, loss - self._optimum_loss

    def sampled_loss(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        # a margin of y·a instead of a: its sign is drawn relative to y, which is as good
        margins = model(batch[0]).squeeze(-1)
        chances = torch.sigmoid(margins.detach())
        signs = 2.0 * torch.bernoulli(chances, generator=generator) - 1.0
        return functional.softplus(-signs * margins).mean(), len(signs)

    def project(self, model: nn.Module) -> None:
        project_onto_ball(model, self.domain_radius)

    @cached_property
    def domain_radius(self) -> float:
        """Half of the domain's diameter D."""
        return self.radius * float(self.optimum.norm())

    @cached_property
    def _rows(self) -> Tensor:
        """y_i·a_i, shape [n, d]."""
        generator = torch.Generator().manual_seed(self.data_seed)
        inputs = torch.randn(self.samples, self.dim, generator=generator, dtype=torch.float64)
        truth = torch.randn(self.dim, generator=generator, dtype=torch.float64)
        flipped = torch.rand(self.samples, generator=generator) < self.noise
        positive = (inputs @ truth >= 0) ^ flipped
        return torch.where(positive[:, None], inputs, -inputs)

    @cached_property
    def optimum(self) -> Tensor:
        """w*, by Newton's method to a gradient below 1e-12 (Hessian aᵀ·diag(σ(1−σ))·a/n)."""
        rows = self._rows
        w = torch.zeros(self.dim, dtype=torch.float64)
        for _ in range(100):
            margins = rows @ w
            if bool((margins > 0).all()):  # the infimum is 0, at infinity
                break
            wrong = torch.sigmoid(-margins)
            gradient = -(rows * wrong[:, None]).mean(dim=0)
            if float(gradient.norm()) < 1e-12:
                return w
            curvature = (rows * (wrong * (1 - wrong))[:, None]).T @ rows / self.samples
            step, failed = torch.linalg.solve_ex(curvature, gradient)
            if int(failed):
                break
            w = w - step
        raise SpecError("the logistic problem has no optimum to speak of: add samples or noise")

    @cached_property
    def _optimum_loss(self) -> float:
        return float(functional.softplus(-(self._rows @ self.optimum)).mean())
