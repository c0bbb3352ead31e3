"""The embedded data: what scikit-learn ships, split once and for all."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from sklearn.datasets import load_digits

from robustlr.workloads.base import Split
from robustlr.workloads.digits_mlp import DigitsMLP

SIZES: dict[Split, int] = {"train": 1000, "valid": 398, "test": 399}


def test_the_splits_are_the_whole_data_each_image_once() -> None:
    images, labels = load_digits(return_X_y=True)
    parts = [DigitsMLP().examples(split, 0) for split in SIZES]
    inputs = torch.cat([part.tensors[0] for part in parts])
    targets = torch.cat([part.tensors[1] for part in parts])
    ours = sorted(
        (*image, label) for image, label in zip(inputs.tolist(), targets.tolist(), strict=True)
    )
    theirs = sorted(
        (*image, label)
        for image, label in zip((images / 16).tolist(), labels.tolist(), strict=True)
    )
    assert ours == theirs


@pytest.mark.parametrize("split", SIZES)
def test_sizes_scale_and_balance(split: Split) -> None:
    inputs, labels = DigitsMLP().examples(split, seed=0).tensors
    assert inputs.shape == (SIZES[split], 64)
    assert (inputs.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert inputs.min() == 0.0
    assert inputs.max() == 1.0
    share = labels.bincount(minlength=10) / len(labels)
    assert (share - 0.1).abs().max() < 0.01


def test_the_seed_does_not_choose_the_data() -> None:
    first, second = (DigitsMLP().examples("train", seed) for seed in (0, 1))
    assert first is second


@pytest.mark.parametrize("hidden", [(), (7,), (64, 64), (3, 4, 5)])
def test_the_network_has_the_widths_it_says(hidden: tuple[int, ...]) -> None:
    model = DigitsMLP(hidden=hidden).model(0)
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    widths = (64, *hidden, 10)
    assert shapes == [(out, into) for into, out in itertools.pairwise(widths)]


def test_chance_is_one_in_ten() -> None:
    assert DigitsMLP().chance_loss == pytest.approx(-math.log(0.1))
    assert DigitsMLP().metric == "error"
