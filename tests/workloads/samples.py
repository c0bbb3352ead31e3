"""A user's workloads, good and bad, reached as ``factory = "tests.workloads.samples:NAME"``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlr.workloads import Batch, Split, TensorExamples, Workload

Loss = Callable[[nn.Module, Batch], Tensor]


class Regression(Workload):
    """Least squares on a line with noise; no optional method is given."""

    def __init__(self, size: int = 32, dim: int = 3) -> None:
        self.size, self.dim = size, dim

    def model(self, seed: int) -> nn.Module:
        return nn.Linear(self.dim, 1)

    def examples(self, split: Split, seed: int) -> TensorExamples:
        generator = torch.Generator().manual_seed(("train", "valid", "test").index(split))
        inputs = torch.randn(self.size, self.dim, generator=generator)
        noise = torch.randn(self.size, generator=generator)
        return TensorExamples(inputs, inputs.sum(dim=1) + 0.1 * noise)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, targets = batch
        return (model(inputs).squeeze(-1) - targets).square().mean()


class WithLoss(Regression):
    """Regression with somebody's own loss."""

    def __init__(self, own: Loss) -> None:
        super().__init__()
        self.own = own

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.own(model, batch)


class WithDropout(Regression):
    def model(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(self.dim, 8), nn.Dropout(0.5), nn.Linear(8, 1))


class Saturating(Regression):
    """A loss in [0, 1] whatever the weights: it stays finite when they do not."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return torch.nan_to_num(super().loss(model, batch), posinf=1.0).clamp(max=1.0)

    def project(self, model: nn.Module) -> None:
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(torch.inf)


class Damaged(Regression):
    """One training input is not a number."""

    def examples(self, split: Split, seed: int) -> TensorExamples:
        inputs, targets = super().examples(split, seed).tensors
        if split == "train":
            inputs[5, 1] = torch.nan
        return TensorExamples(inputs, targets)


class Empty:
    """Examples of a user's own kind, of which there are none."""

    def __len__(self) -> int:
        return 0

    def batch(self, indices: Tensor) -> Batch:
        raise AssertionError("nothing to draw from")

    def to(self, device: torch.device) -> Empty:
        return self


class WithoutExamples(Regression):
    def examples(self, split: Split, seed: int) -> TensorExamples | Empty:  # type: ignore[override]
        return super().examples(split, seed) if split == "train" else Empty()


class BornDead(Regression):
    """A model whose weights are not finite before any update."""

    def model(self, seed: int) -> nn.Module:
        model = super().model(seed)
        nn.init.constant_(model.bias, torch.nan)
        return model


def raises() -> Workload:
    raise RuntimeError("no network\nand no cache")


def returns_none() -> None:
    return None


def gives_up() -> Workload:
    sys.exit(0)


@dataclass(frozen=True, kw_only=True)
class Unfinished(Workload):
    """A workload without any of its methods."""

    size: int = 3


@dataclass(frozen=True, kw_only=True)
class WithoutItsFile(Regression):
    size: int = 32
    dim: int = 3

    def __post_init__(self) -> None:
        raise RuntimeError("no file\nhere")


@dataclass(frozen=True, kw_only=True)
class HoldsTensors(Regression):
    first: Tensor
    size: int = 32
    dim: int = 3
    second: Tensor | None = None


class GivesUp(Regression):
    """It ends the process where its model is asked for, as scripts do."""

    def model(self, seed: int) -> nn.Module:
        sys.exit(0)


not_callable = 3


def two_speeds(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """An optimizer whose biases learn ten times as slowly."""
    groups = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "lr": lr / 10},
    ]
    return torch.optim.SGD(groups, lr=lr)
