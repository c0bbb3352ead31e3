"""Noisy absolute-error regression: non-smooth, Lipschitz, with everything in closed form.

    f(x) = E|⟨a, x − x*⟩ − ξ|/√d,   a ~ N(0, I_d), ξ ~ N(0, σ²),   ‖x‖ ≤ 1

The residual is N(0, ‖x − x*‖² + σ²), so f(x) = √(2/(πd))·√(‖x − x*‖² + σ²), and a stochastic
subgradient sign(residual)·a/√d has E‖g‖² = 1. The domain's diameter is D = 2, ‖x*‖ = 1/2. The
setting of the convex theory in Attia & Koren 2025 (arXiv 2503.09411); its numbers are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from robustlr.errors import SpecError
from robustlr.workloads.base import Batch, Examples, Split, TensorExamples, Workload
from robustlr.workloads.projection import project_onto_ball


@dataclass(frozen=True, kw_only=True)
class AbsoluteRegression(Workload):
    """Projected stochastic subgradient descent from x = 0 on a fresh stream per seed.

    dim: d. noise: σ > 0, standard deviation of the labels' noise. samples: length of the
    stream; a run that needs more examples goes through it again.
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
        return self._objective(0.25)

    @property
    def optimum_loss(self) -> float:
        return self._objective(0.0)

    @cached_property
    def target(self) -> Tensor:
        """x*, of norm 1/2 along a fixed random direction."""
        direction = torch.randn(
            self.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        return 0.5 * direction / direction.norm()

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(self.dim, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        return model

    def examples(self, split: Split, seed: int) -> TensorExamples:
        if split != "train":  # evaluated in closed form
            return TensorExamples(torch.zeros(1, self.dim), torch.zeros(1))
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(self.samples, self.dim, generator=generator, dtype=torch.float64)
        noise = torch.randn(self.samples, generator=generator, dtype=torch.float64)
        return TensorExamples(inputs, inputs @ self.target + self.noise * noise)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, labels = batch
        return (model(inputs).squeeze(-1) - labels).abs().mean() / math.sqrt(self.dim)

    def evaluate(
        self, model: nn.Module, examples: Examples, indices: Tensor
    ) -> tuple[float, float]:
        (weight,) = model.parameters()
        squared_distance = float((weight.detach().squeeze(0).cpu() - self.target).square().sum())
        loss = self._objective(squared_distance)
        return loss * len(indices), (loss - self.optimum_loss) * len(indices)

    def project(self, model: nn.Module) -> None:
        project_onto_ball(model, 1.0)

    def _objective(self, squared_distance: float) -> float:
        return math.sqrt(2.0 / (math.pi * self.dim) * (squared_distance + self.noise**2))
