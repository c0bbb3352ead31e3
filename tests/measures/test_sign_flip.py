"""The sign-flip test against scipy and by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robustlr.measures.sign_flip import EXACT_SEEDS, sign_flip_test


@pytest.mark.parametrize("n", [2, 5, 8])
def test_agrees_with_scipys_exact_paired_permutation_test(n: int) -> None:
    d = np.random.default_rng(n).normal(0.4, 1.0, size=n)
    theirs = stats.permutation_test(
        (d, np.zeros(n)),
        lambda a, b, axis: np.abs((a - b).sum(axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
    )
    assert sign_flip_test(d)[0] == pytest.approx(theirs.pvalue)


def test_five_seeds_cannot_reach_five_percent_and_six_can() -> None:
    assert sign_flip_test(np.full(5, 1.0))[0] == 2 / 2**5 > 0.05
    assert sign_flip_test(np.full(6, 1.0))[0] == 2 / 2**6 < 0.05


def test_missing_pairs_are_left_out() -> None:
    with_hole, without = np.array([0.3, np.nan, -0.1, 0.5]), np.array([0.3, -0.1, 0.5])
    assert sign_flip_test(with_hole) == sign_flip_test(without)
    assert np.isnan(sign_flip_test(np.full(3, np.nan))[0])


def test_alike_schedules_have_p_one() -> None:
    assert sign_flip_test(np.zeros(4))[0] == 1.0


def test_many_seeds_are_close_to_the_normal_test() -> None:
    n = EXACT_SEEDS + 16
    d = np.random.default_rng(0).normal(0.3, 1.0, size=n)
    p, least = sign_flip_test(d)
    z = abs(d.sum()) / np.sqrt((d**2).sum())
    assert float(p) == pytest.approx(2 * stats.norm.sf(z), abs=0.02)
    assert float(least) < 1e-3
