"""Cross-entropy, error rate and labels drawn from the model, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from robustlr.workloads import Classification, TensorExamples
from robustlr.workloads.base import Split


class Direct(Classification):
    """The inputs are the logits."""

    def model(self, seed: int) -> nn.Module:
        return nn.Identity()

    def examples(self, split: Split, seed: int) -> TensorExamples:
        raise AssertionError("not needed")


LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.5, 0.0], [1.0, 1.0, 3.0], [0.0, 0.0, 0.1]])
LABELS = torch.tensor([0, 2, 2, 1])


def slow_cross_entropy() -> float:
    total = 0.0
    for row, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        total -= math.log(math.exp(row[label]) / sum(map(math.exp, row)))
    return total / len(LABELS)


def test_loss_and_error() -> None:
    loss, error = Direct().score(nn.Identity(), (LOGITS, LABELS))
    assert loss.item() == pytest.approx(slow_cross_entropy(), rel=1e-6)
    assert Direct().loss(nn.Identity(), (LOGITS, LABELS)).item() == pytest.approx(loss.item())
    assert error.item() == 0.5


def test_sampled_labels_follow_the_model() -> None:
    """E over labels of −log p is the entropy."""
    logits = torch.tensor([[1.0, 0.0, -2.0]]).expand(20_000, 3)
    chances = torch.softmax(logits[0], dim=0)
    entropy = -(chances * chances.log()).sum().item()
    loss, count = Direct().sampled_loss(
        nn.Identity(), (logits, LABELS), torch.Generator().manual_seed(0)
    )
    assert count == 20_000
    spread = math.sqrt((chances * (chances.log() + entropy) ** 2).sum().item() / count)
    assert loss.item() == pytest.approx(entropy, abs=5 * spread)
