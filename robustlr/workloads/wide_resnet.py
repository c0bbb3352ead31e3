"""Wide residual networks for small images: WRN-d-k, depth d and widening factor k.

Zagoruyko & Komodakis, "Wide Residual Networks" (2016, arXiv 1605.07146), table 1: a 3 × 3
convolution of 16 channels; three groups of N = (d − 4)/6 blocks of 16k, 32k and 64k channels, the
second and third at half the resolution; normalisation, ReLU, the mean over places, and a linear
layer. A block is pre-activated (B(3,3)): twice normalisation, ReLU, a 3 × 3 convolution. WRN-28-10
has 36,479,194 weights for 10 classes (the paper says 36.5 M). Batches are normalised rank by
rank: with several ranks, or accumulation, over smaller batches than with one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.errors import SpecError


class WideResNet(nn.Module):
    """Images [B, 3, H, W] → logits [B, classes].

    dropout: probability inside the blocks, between the convolutions (the paper: 0 with
    augmentation). Weights as in He et al. 2015, the paper's choice. Raises SpecError for a depth
    that is not 6N + 4 with N ≥ 1, or a width below 1.
    """

    def __init__(self, depth: int, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6 or width < 1:
            raise SpecError(
                f"there is no wrn-{depth}-{width}: its depth must be 10, 16, 22, 28, ... "
                "and its width at least 1"
            )
        channels = 16
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        for group in range(3):
            for position in range((depth - 4) // 6):
                stride = 2 if group and not position else 1
                blocks.append(_Block(channels, 16 * width * 2**group, stride, dropout))
                channels = 16 * width * 2**group
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.norm(self.blocks(self.stem(images))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    """The input plus two convolutions of it; through a 1 × 1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = functional.relu(self.norm1(x))
        passed = x if self.shortcut is None else self.shortcut(active)
        hidden = self.dropout(functional.relu(self.norm2(self.conv1(active))))
        return torch.add(passed, self.conv2(hidden))
