"""An explosion is told from an outlier by what follows it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest

from robustlr.schedules.explosion import Suspicion, suspected
from robustlr.schedules.loss_blocks import MAX_BLOCKS, LossBlocks


def explosion(losses: Sequence[float]) -> int | None:
    """The update at which an explosion is confirmed, if any."""
    blocks, held = LossBlocks(), None
    for step, loss in enumerate(losses):
        after = blocks.add(loss)
        held = suspected(held, blocks, after, loss)
        if held is not None:
            assert held == Suspicion.load(json.loads(json.dumps(dataclasses.asdict(held))))
            if held.confirmed:
                return step
        blocks = after
    return None


FALL = [2.0 - 0.1 * step for step in range(10)]  # from 2.0 to 1.1: far above lies beyond 3.8


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([*FALL, 3.9, 3.9, 3.9], 12),
        ([*FALL, 3.7, 3.7, 3.7], None),
        ([*FALL, 3.9, 3.9, 3.7, 3.9, 3.9, 3.9], None),  # what was seen once is no surprise again
        ([*FALL, 3.9, 1.0, 8.0, 8.0, 100.0], None),  # the range is 2.9: beyond 9.7
        ([*FALL, 3.9, 1.0, 10.0, 10.0, 100.0], 14),
        ([*FALL, 102.0, 12.1, 12.1], 12),  # a tenth of what the first is above the highest
        ([*FALL, 102.0, 11.9, 11.9], None),
        ([*FALL[:7], 50.0, 60.0, 70.0], None),  # too few losses to tell
        ([1.0] * 10 + [50.0] * 5, None),  # a range of nothing
    ],
)
def test_three_losses_far_above_are_an_explosion(losses: list[float], expected: int | None) -> None:
    assert explosion(losses) == expected
    assert explosion([1e-6 * loss - 8.0 for loss in losses]) == expected


@pytest.mark.parametrize("size", [1, 4, 64])
def test_long_runs_wait_for_a_block_and_two_losses(size: int) -> None:
    steps = size * (MAX_BLOCKS - 8)
    losses = [2.0 - step / steps for step in range(steps)]
    assert explosion([*losses, *range(50, 500)]) == steps + size + 1


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.1, 0.3])
def test_rare_events_are_hardly_ever_taken_for_one(rate: float) -> None:
    draws = np.random.default_rng(0).random((300, 100))
    found = [explosion(row) is not None for row in np.where(draws < rate, 3.0, 0.01 * draws)]
    assert np.mean(found) <= 0.02
