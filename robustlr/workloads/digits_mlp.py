"""Handwritten digits and a small multilayer perceptron: the embedded default.

Data: the 1,797 images of 8 × 8 pixels that ship with scikit-learn (the test set of Alpaydin &
Kaynak's optical recognition data, UCI, CC BY 4.0), split once and for all, stratified by digit,
into 1,000 training, 398 validation and 399 test examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from robustlr.errors import SpecError
from robustlr.workloads.base import Split, TensorExamples
from robustlr.workloads.classification import Classification

_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class DigitsMLP(Classification):
    """Handwritten digits and a small network: 64 inputs, ReLU layers, 10 logits.

    torch's default initialisation.

    hidden: widths of the hidden layers.
    """

    kind: Literal["digits_mlp"] = "digits_mlp"
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise SpecError(f"hidden widths must be at least 1, got {list(self.hidden)}")

    @property
    def chance_loss(self) -> float:
        return math.log(_CLASSES)

    def model(self, seed: int) -> nn.Module:
        widths = (64, *self.hidden)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], _CLASSES))

    def examples(self, split: Split, seed: int) -> TensorExamples:
        return _digits()[split]


@cache
def _digits() -> dict[str, TensorExamples]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    inputs = torch.as_tensor(images / 16.0, dtype=torch.float32)
    targets = torch.as_tensor(labels, dtype=torch.int64)
    train, rest = train_test_split(
        range(len(labels)), train_size=1000, stratify=labels, random_state=0
    )
    valid, test = train_test_split(rest, train_size=398, stratify=labels[rest], random_state=0)
    return {
        name: TensorExamples(inputs[chosen], targets[chosen])
        for name, chosen in (("train", train), ("valid", valid), ("test", test))
    }
