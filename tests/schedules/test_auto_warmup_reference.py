"""Long runs at ordinary scale switch where the original does, as long as that stops truly."""

from __future__ import annotations

import pytest

from tests.benchmarks.auto_warmup_original import PER_EPOCH, both


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("slow rise", 60),
        ("rise as steep as the fall", 60),
        ("steep rise", 60),
        ("vee", 60),
        ("slow rise", 120),
    ],
)
def test_same_switch_up_to_one_test_and_lr_within_a_factor_1_5(name: str, epochs: int) -> None:
    theirs, ours, _ = both(name, epochs, 0.02, seed=0)
    assert theirs is not None
    assert ours.reason == "minimum_passed"
    assert ours.switch_step is not None
    assert ours.multiplier is not None
    assert abs((ours.switch_step + 1) / PER_EPOCH - theirs.epoch) <= 1
    assert max(ours.multiplier / theirs.lr, theirs.lr / ours.multiplier) <= 1.5


def test_with_more_noise_the_original_stops_where_nothing_has_risen_and_ours_does_not() -> None:
    theirs, ours, best = both("vee", 60, 0.3, seed=0)
    assert theirs is not None
    assert theirs.lr < best / 100
    assert ours.multiplier is not None
    assert best / 3 <= ours.multiplier <= 3 * best
