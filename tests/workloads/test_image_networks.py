"""The networks for images: their published sizes, their shapes, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustlr.errors import SpecError
from robustlr.workloads.resnet18 import ResNet18
from robustlr.workloads.wide_resnet import WideResNet


def size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("depth", "width", "millions"),
    [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (40, 8, 35.7), (28, 10, 36.5), (28, 12, 52.5),
     (22, 8, 17.2), (22, 10, 26.8), (16, 8, 11.0), (16, 10, 17.1)],
)  # fmt: skip
def test_sizes_are_those_of_the_papers_table(depth: int, width: int, millions: float) -> None:
    """Zagoruyko & Komodakis 2016, table 4 (CIFAR-10)."""
    with torch.device("meta"):
        assert round(size(WideResNet(depth, width, 10)) / 1e6, 1) == millions


def test_exact_sizes() -> None:
    with torch.device("meta"):
        assert size(WideResNet(28, 10, 10)) == 36_479_194
        assert size(ResNet18(10)) == 11_173_962


def convolutions(model: nn.Module, inputs: torch.Tensor) -> list[tuple[int, int]]:
    """(channels out, resolution) of every 3 × 3 convolution, in order."""
    seen: list[tuple[int, int]] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(
                lambda _, __, out: seen.append((out.shape[1], out.shape[-1]))
            )
    model(inputs)
    return seen


def test_depth_and_resolutions_of_a_wide_resnet() -> None:
    seen = convolutions(WideResNet(16, 2, 7), torch.randn(2, 3, 32, 32))
    # 6N + 1 with N = 2
    assert seen == [(16, 32), *[(32, 32)] * 4, *[(64, 16)] * 4, *[(128, 8)] * 4]


def test_depth_and_resolutions_of_resnet18() -> None:
    seen = convolutions(ResNet18(7), torch.randn(2, 3, 32, 32))
    assert seen == [*[(64, 32)] * 5, *[(128, 16)] * 4, *[(256, 8)] * 4, *[(512, 4)] * 4]


@pytest.mark.parametrize(
    "model", [WideResNet(10, 2, 7), ResNet18(7)], ids=lambda m: type(m).__name__
)
def test_logits_are_of_order_one_and_every_weight_takes_part(model: nn.Module) -> None:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (8, 7)
    assert 0.05 < float(logits.detach().std()) < 5.0
    logits.square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.any()) for weight in model.parameters())


def test_dropout_is_inside_the_blocks() -> None:
    model = WideResNet(10, 1, 4, dropout=0.5)
    images = torch.randn(4, 3, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize(("depth", "width"), [(4, 1), (11, 1), (28, 0), (30, 10)])
def test_there_is_no_such_wide_resnet(depth: int, width: int) -> None:
    with pytest.raises(SpecError, match=f"there is no wrn-{depth}-{width}: "):
        WideResNet(depth, width, 10)
