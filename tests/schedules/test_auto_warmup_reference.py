"""Long runs at ordinary scale switch where the original does."""

from __future__ import annotations

import numpy as np
import pytest

from robustlr.schedules import AutoWarmup, Feedback
from tests.benchmarks.auto_warmup_error_rates import DIPS
from tests.schedules.autowu_reference import first_switch

EPOCHS, PER_EPOCH = 60, 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slow rise", "vee"])
def test_same_switch_up_to_one_test_and_lr_within_a_factor_1_5(name: str) -> None:
    num_steps = EPOCHS * PER_EPOCH
    warmup = num_steps // 2
    noise = 0.02 * np.random.default_rng(0).normal(size=warmup)
    losses = DIPS[name][0](np.arange(warmup) / warmup) * (1.0 + noise)
    theirs = first_switch(losses, PER_EPOCH, 1e-5, 1.0)
    assert theirs is not None

    schedule = AutoWarmup(test_every=PER_EPOCH)
    state = schedule.init(num_steps)
    for step, loss in enumerate(losses.tolist()):
        state = schedule.update(state, Feedback(step, loss))
    assert state.reason == "minimum_passed"
    assert state.switch_step is not None
    assert state.multiplier is not None
    assert abs((state.switch_step + 1) / PER_EPOCH - theirs.epoch) <= 1
    assert max(state.multiplier / theirs.lr, theirs.lr / state.multiplier) <= 1.5
