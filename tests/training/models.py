"""Small models with everything that an option of training could disturb."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from robustlr.specs import Cell
from robustlr.training.learner import Learner
from robustlr.training.setting import make_accelerator, seed_torch
from robustlr.workloads import Workload
from robustlr.workloads.digits_mlp import DigitsMLP


class ConvNet(nn.Module):
    """Convolutions, BatchNorm and dropout in two blocks of one shape."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 6, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(dropout) for _ in range(2)))
        self.head = nn.Linear(6, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)).mean(dim=(2, 3)))
        return logits


class ConvBlock(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(6, 6, 3, padding=1) for _ in range(2))
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.dropout(torch.relu(self.norm(self.conv1(x)))))


class ConvDigits(DigitsMLP):
    """The handwritten digits as images of four channels; the last model built is `built`."""

    built: nn.Module
    dropout: ClassVar[float] = 0.2

    def model(self, seed: int) -> nn.Module:
        model = nn.Sequential(nn.Unflatten(1, (4, 4, 4)), ConvNet(self.dropout))
        object.__setattr__(self, "built", model)
        return model


class ImageDigits(ConvDigits):
    """As ConvDigits, but the model itself is given images."""

    def model(self, seed: int) -> nn.Module:
        model = ConvNet(self.dropout)
        object.__setattr__(self, "built", model)
        return model

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:  # type: ignore[override]
        pixels, labels = batch
        return nn.functional.cross_entropy(model(pixels.view(-1, 4, 4, 4)), labels)

    def score(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        loss = self.loss(model, batch)
        return loss, loss


def learner(cell: Cell, workload: Workload) -> Learner:
    """The learner of a run that is about to begin."""
    accelerator = make_accelerator(cell)
    seed_torch(cell.seed, accelerator.device)
    return Learner(cell, workload, accelerator)


def first_batch(cell: Cell, workload: Workload) -> list[Tensor]:
    """The first examples of the training split, batch_size of them."""
    examples = workload.examples("train", cell.seed)
    return list(examples.batch(torch.arange(cell.batch_size)))
