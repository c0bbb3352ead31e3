"""channels_last: every convolution works on channels that lie innermost, and learns the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustlr.training import train
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.training.cells import digits_cell
from tests.training.models import ConvDigits, ImageDigits, first_batch, learner


def watched(model: nn.Module) -> list[bool]:
    """Fills up with: are this convolution's weight and output channels last?"""
    seen: list[bool] = []

    def look(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        both = (module.get_parameter("weight"), output)
        seen.extend(t.is_contiguous(memory_format=torch.channels_last) for t in both)

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(look)
    return seen


def given(model: nn.Module) -> list[bool]:
    """Fills up with: is what the first convolution is given channels last?"""
    seen: list[bool] = []
    stem = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    stem.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    return seen


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("workload", [ImageDigits(), ConvDigits()], ids=["images", "vectors"])
def test_strides_inside_the_forward_pass(workload: ConvDigits, channels_last: bool) -> None:
    cell = digits_cell(channels_last=channels_last)
    ours = learner(cell, workload)
    inside, inputs = watched(ours.bare_model), given(ours.bare_model)
    ours.backward([first_batch(cell, workload)], stop=lambda: False)
    assert inside == [channels_last] * 5 * 2
    # what is no image when the model is given it is left as it is; the first convolution converts
    assert inputs == [channels_last and isinstance(workload, ImageDigits)]


class WithoutDropout(ImageDigits):
    """The layout decides which mask falls on which pixel."""

    dropout = 0.0


def test_optimizers_keep_the_layout_and_the_result_is_the_same() -> None:
    workload = WithoutDropout()
    _, plain = train(digits_cell(num_steps=10, log_every=1), workload)
    _, last = train(digits_cell(num_steps=10, log_every=1, channels_last=True), workload)
    weight = workload.built.get_parameter("stem.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for column in ("train_loss", "valid_loss", "grad_norm"):
        ours, theirs = (c[column].drop_nulls().to_list() for c in (last, plain))
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_model_without_images_is_left_alone() -> None:
    cell = digits_cell(num_steps=5, channels_last=True)
    _, curve = train(cell, DigitsMLP(hidden=(16,)))
    _, plain = train(digits_cell(num_steps=5), DigitsMLP(hidden=(16,)))
    assert curve["valid_loss"].to_list() == plain["valid_loss"].to_list()
