"""Noisy absolute-error regression: non-smooth, Lipschitz, with everything in closed form.

    f(x) = E|⟨a, x − x*⟩ − ξ|/√d,   a ~ N(0, I_d), ξ ~ N(0, σ²),   ‖x‖ ≤ 1

The residual is N(0, ‖x − x*‖² + σ²), so f(x) = √(2/(πd))·√(‖x − x*‖² + σ²), and a stochastic
subgradient sign(residual)·a/√d has E‖g‖² = 1. The domain's diameter is D = 2, ‖x*‖ = 1/2. The
setting of the convex theory in Attia & Koren 2025 (arXiv 2503.09411); its numbers are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.errors import SpecError
from robustlr.workloads.base import Batch, Examples, Split, TensorExamples, Workload
from robustlr.workloads.projection import project_onto_ball


@dataclass(frozen=True, kw_only=True)
class AbsoluteRegression(Workload):
    """Projected stochastic subgradient descent from x = 0 on a fresh stream per seed.

    dim: d. noise: σ > 0, standard deviation of the labels' noise. samples: length of the
    stream; a run that needs more examples goes through it again, which the theory does not cover.
    """

    kind: Literal["absolute_regression"] = "absolute_regression"
    dim: int = 20
    noise: float = 0.1
    samples: int = 16384

    metric: ClassVar[str] = "excess"

    def __post_init__(self) -> None:
        if self.dim < 1 or self.samples < 1:
            raise SpecError(f"dim and samples must be at least 1, got {self.dim}, {self.samples}")
        if not (math.isfinite(self.noise) and self.noise > 0):
            raise SpecError(f"noise must be a positive number, got {self.noise}")

    @property
    def chance_loss(self) -> float:
        """f(0): what a model that predicts nothing pays."""
        return self.optimum_loss + self._excess(0.25)

    @property
    def optimum_loss(self) -> float:
        """f(x*) = √(2/(πd))·σ."""
        return self._scale * self.noise

    @cached_property
    def target(self) -> Tensor:
        """x*, of norm 1/2 along a fixed random direction."""
        return _target(self.dim)

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(self.dim, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        return model

    def examples(self, split: Split, seed: int) -> TensorExamples:
        """(a, label)/√d of the seed's stream; validation and test are in closed form."""
        if split != "train":
            return TensorExamples(torch.zeros(1, self.dim), torch.zeros(1, 1))
        return _stream(self.dim, self.noise, self.samples, seed)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, labels = batch
        return functional.l1_loss(model(inputs), labels)

    def evaluate(
        self, model: nn.Module, examples: Examples, indices: Tensor
    ) -> tuple[float, float]:
        (weight,) = model.parameters()
        distance = weight.detach().squeeze(0).cpu() - self.target
        excess = self._excess(float(distance.square().sum()))
        return (self.optimum_loss + excess) * len(indices), excess * len(indices)

    def project(self, model: nn.Module) -> None:
        project_onto_ball(model, 1.0)

    @property
    def _scale(self) -> float:
        return math.sqrt(2.0 / (math.pi * self.dim))

    def _excess(self, squared_distance: float) -> float:
        """f(x) − f(x*), written so that a small one keeps its digits."""
        residual = math.sqrt(squared_distance + self.noise**2)
        return self._scale * squared_distance / (residual + self.noise)


def _target(dim: int) -> Tensor:
    direction = torch.randn(dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return direction * (0.5 / float(direction.norm()))


@lru_cache(maxsize=2)  # a study trains every cell of a seed before the next seed
def _stream(dim: int, noise: float, samples: int, seed: int) -> TensorExamples:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, dim, generator=generator, dtype=torch.float64)
    errors = torch.randn(samples, generator=generator, dtype=torch.float64)
    labels = inputs @ _target(dim) + noise * errors
    return TensorExamples(inputs / math.sqrt(dim), labels[:, None] / math.sqrt(dim))
