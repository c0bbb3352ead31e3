"""The designed schedule: a table one can train with, at least as good as every built-in."""

import math

import numpy as np
import pytest

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule, Fixed, Tabulated, parse, to_table
from robustlr.theory import continuous_bound, design, designed_schedule, discrete_bound, worst_case

BUILT_IN = (
    "fixed",
    "inverse_sqrt",
    "inverse_sqrt:timescale=50",
    "linear",
    "polynomial:degree=2",
    "polynomial:degree=3",
    "polynomial:degree=0.5",
    "cosine",
    "cosine:final_multiplier=0.01",
    "wsd",
    "wsd:cooldown=sqrt",
    "wsd:decay_fraction=0.5",
    "cosine+warmup",
)


@pytest.mark.parametrize("rho", [1.0, 1.3, 1.9, 3.0, 10.0, 100.0, 1e4])
def test_at_least_as_good_as_every_annealed_built_in(rho: float) -> None:
    annealed = [s for s in map(parse, BUILT_IN) if continuous_bound(s).iterate == "last"]
    assert len(annealed) == 9
    designed = design(rho, rivals=annealed)
    assert all(rival.worst >= designed.designed.worst * (1 - 1e-9) for rival in designed.rivals)
    assert [rival.worst for rival in designed.rivals] == sorted(r.worst for r in designed.rivals)


@pytest.mark.parametrize("rho", [3.0, 30.0])
@pytest.mark.parametrize("kind", BUILT_IN)
def test_also_summed_over_updates_where_fixed_has_a_bound_too(kind: str, rho: float) -> None:
    designed = discrete_bound(designed_schedule(rho), 4000).worst_within(rho)[0]
    rival = discrete_bound(parse(kind), 4000).worst_within(rho)[0]
    assert designed < rival * (1 + 1e-6)


def test_a_table_that_a_study_file_can_hold() -> None:
    table = to_table(designed_schedule(50.0))
    assert table["kind"] == "tabulated"
    again = parse(table)
    assert isinstance(again, Tabulated)
    assert again == designed_schedule(50.0)
    assert again.label == "designed-50"
    multipliers = again.multiplier(np.arange(1000), 1000)
    assert multipliers[0] == 1.0
    assert 0 < multipliers[-1] < 0.01


def test_peak_lr_places_the_range_where_the_bound_is_least() -> None:
    rho = 20.0
    for schedule in (parse("cosine"), designed_schedule(rho)):
        case = worst_case(schedule, rho)
        bound = continuous_bound(schedule)
        # linear's best lies in [1, ρ]·S; the peak is peak_lr·ρ·S; in units of the truth:
        used = case.peak_lr * rho / np.geomspace(1.0, rho, 101)
        assert bound.value(used).max() == pytest.approx(case.worst, rel=1e-6)


def test_ignorance_costs_a_logarithm_instead_of_a_power() -> None:
    squares = [design(rho).designed.worst ** 2 for rho in (1e2, 1e4, 1e6)]
    np.testing.assert_allclose(np.diff(squares), math.log(100.0), rtol=2e-3)


@pytest.mark.parametrize("rho", [0.5, 0.0, -3.0, math.nan, math.inf, 1e51])
def test_a_factor_below_one_is_refused(rho: float) -> None:
    with pytest.raises(SpecError, match="rho"):
        design(rho)


@pytest.mark.parametrize("rival", [Fixed(), parse("curvature_adaptive")])
def test_a_rival_without_a_bound_is_refused(rival: AnySchedule) -> None:
    with pytest.raises(SpecError, match=rival.label):
        design(10.0, rivals=[rival])
