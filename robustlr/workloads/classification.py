"""What every classifier has in common: cross-entropy, error rate, labels drawn from the model."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.workloads.base import Batch, Workload


class Classification(Workload):
    """batch = (inputs, integer labels); the model maps inputs to logits [B, classes]."""

    metric: ClassVar[str] = "error"

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, labels = batch
        return functional.cross_entropy(model(inputs), labels)

    def score(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, labels = batch
        logits = model(inputs)
        error = (logits.argmax(dim=-1) != labels).double().mean()
        return functional.cross_entropy(logits.double(), labels), error

    def sampled_loss(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        logits = model(batch[0])
        chances = functional.softmax(logits.detach().float(), dim=-1)
        drawn = torch.multinomial(chances, 1, generator=generator).squeeze(-1)
        return functional.cross_entropy(logits, drawn), len(drawn)
