"""Every global generator goes on where it was."""

from __future__ import annotations

import random

import numpy as np
import torch

from robustlr.training import random_state

CPU = torch.device("cpu")


def draw() -> list[float]:
    return [
        float(torch.rand(())),
        float(torch.randn(())),
        float(np.random.standard_normal()),
        float(np.random.uniform()),
        random.gauss(),
        random.random(),
    ]


def test_generators_go_on_where_they_were() -> None:
    for halfway in (False, True):  # normal numbers are made in pairs: one may be kept back
        if halfway:
            random.gauss()
            np.random.standard_normal()
        state = random_state.capture(CPU)
        drawn = [draw() for _ in range(3)]
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        random_state.restore(state, CPU)
        assert [draw() for _ in range(3)] == drawn


def test_begun_at_a_seed_and_on_again() -> None:
    state = random_state.capture(CPU)
    expected = draw()
    random_state.restore(state, CPU)
    with random_state.begun_at(3, CPU):
        first = draw()
    with random_state.begun_at(3, CPU):
        assert draw() == first
    assert draw() == expected


def test_a_row_of_bytes_of_one_length() -> None:
    first = random_state.capture(CPU)
    draw()
    second = random_state.capture(CPU)
    assert first.dtype == torch.uint8
    assert first.shape == second.shape
    assert not torch.equal(first, second)
