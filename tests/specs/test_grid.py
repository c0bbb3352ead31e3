"""The lattice of learning rates: exact, so that grids can grow around their old points."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.specs import LearningRateGrid, StudySpec, learning_rate
from tests.specs.tables import edited


@settings(deadline=None, max_examples=200)
@given(st.integers(-80, 80), st.integers(0, 60), st.integers(1, 24))
def test_bounds_on_the_lattice_are_inside(first: int, more: int, per_decade: int) -> None:
    low, high = 10 ** (first / per_decade), 10 ** ((first + more) / per_decade)
    grid = LearningRateGrid(low=low, high=high, points_per_decade=per_decade)
    assert grid.indices == range(first, first + more + 1)
    assert list(grid) == pytest.approx(
        [10 ** (k / per_decade) for k in range(first, first + more + 1)]
    )
    assert len(grid) == more + 1


@settings(deadline=None, max_examples=200)
@given(st.floats(1e-8, 1e3), st.floats(1.0, 1e4), st.integers(1, 16))
def test_points_are_those_between_the_bounds(low: float, times: float, per_decade: int) -> None:
    high = low * times
    # how a bound that is nearly on the lattice is rounded, is another test's question
    for bound in (low, high):
        index = math.log10(bound) * per_decade
        assume(abs(index - round(index)) > 1e-6)
    rates = {k: 10 ** (k / per_decade) for k in range(-9 * per_decade, 9 * per_decade)}
    inside = [k for k, rate in rates.items() if low <= rate <= high]
    if inside:
        grid = LearningRateGrid(low=low, high=high, points_per_decade=per_decade)
        assert list(grid.indices) == inside
    else:
        with pytest.raises(SpecError, match="the grid is empty"):
            LearningRateGrid(low=low, high=high, points_per_decade=per_decade)


def test_neighbours_are_a_ratio_apart() -> None:
    grid = LearningRateGrid(low=1e-4, high=10, points_per_decade=3)
    rates = list(grid)
    assert grid.ratio == pytest.approx(10 ** (1 / 3))
    assert [b / a for a, b in itertools.pairwise(rates)] == pytest.approx(
        [grid.ratio] * (len(grid) - 1)
    )


def test_powers_of_ten_are_what_one_writes() -> None:
    assert [learning_rate(Fraction(k)) for k in range(-5, 3)] == [
        1e-5,
        1e-4,
        1e-3,
        1e-2,
        1e-1,
        1.0,
        10.0,
        100.0,
    ]


def keys(**grid: float) -> set[str]:
    return {cell.key for cell in StudySpec.from_table(edited(grid=grid)).cells()}


OLD = {"low": 1e-3, "high": 1.0, "points_per_decade": 4}


def test_widening_keeps_every_cell() -> None:
    assert keys(**OLD) < keys(**OLD | {"low": 1e-5, "high": 100.0})


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_refining_keeps_every_cell(factor: int) -> None:
    finer = keys(**OLD | {"points_per_decade": 4 * factor})
    assert keys(**OLD) < finer
    assert len(finer) == 2 * 3 * (12 * factor + 1)


def test_a_bound_written_a_little_off_is_the_same_grid() -> None:
    assert keys(**OLD | {"high": 0.9999999999}) == keys(**OLD)
