"""Synthetic logistic regression, smooth and convex, with its optimum known.

    f(w) = (1/n)·Σ_i log(1 + exp(−y_i·⟨a_i, w⟩)),   ‖w‖ ≤ radius

a_i ~ N(0, I_d), y_i = sign(⟨a_i, w_true⟩) flipped with probability `noise`. The objective is
training, validation and test loss in one: the excess f(w) − f(w*) is exact.
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
        return float(self._objective(self.optimum))

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(self.dim, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        return model

    def examples(self, split: Split, seed: int) -> TensorExamples:
        return TensorExamples(*self._data)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, signs = batch
        return functional.softplus(-signs * model(inputs).squeeze(-1)).mean()

    def score(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        loss = self.loss(model, batch)
        return loss, loss - self.optimum_loss

    def sampled_loss(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, int]:
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
    def _data(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.data_seed)
        inputs = torch.randn(self.samples, self.dim, generator=generator, dtype=torch.float64)
        truth = torch.randn(self.dim, generator=generator, dtype=torch.float64)
        flipped = torch.rand(self.samples, generator=generator) < self.noise
        signs = torch.where(inputs @ truth >= 0, 1.0, -1.0).double()
        return inputs, torch.where(flipped, -signs, signs)

    @cached_property
    def optimum(self) -> Tensor:
        """w*, by Newton's method to a gradient below 1e-12 (Hessian aᵀ·diag(σ(1−σ))·a/n)."""
        inputs, signs = self._data
        w = torch.zeros(self.dim, dtype=torch.float64)
        for _ in range(100):
            wrong = torch.sigmoid(-signs * (inputs @ w))
            gradient = -(inputs * (signs * wrong)[:, None]).mean(dim=0)
            if float(gradient.norm()) < 1e-12:
                return w
            curvature = (inputs * (wrong * (1 - wrong))[:, None]).T @ inputs / self.samples
            w = w - torch.linalg.solve(curvature, gradient)
        raise SpecError(
            "the logistic problem is separable or ill-conditioned: add samples or noise"
        )

    def _objective(self, w: Tensor) -> Tensor:
        inputs, signs = self._data
        return functional.softplus(-signs * (inputs @ w)).mean()
