"""Measures of noiseless grids whose answers are known on paper."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from robustlr.measures import measure
from robustlr.specs import ReportSpec
from tests.measures.grids import exponential_curves, grid, results, run


def parabola(curvature: float, centre: int = -4):  # type: ignore[no-untyped-def]
    return lambda s, i, k: 0.3 + curvature * ((i - centre) / 4) ** 2


def test_regret_of_a_parabola() -> None:
    """On every 4th point the worst offset is half a decade off: 0.1·(2/4)² = 0.025."""
    rows = grid(parabola(0.1), schedules=["fixed"], lrs=range(-12, 5))
    found = measure(results(rows), ReportSpec(), resamples=10).regret
    row = found.filter(pl.col("every") == 4).row(0, named=True)
    assert row["resolution"] == pytest.approx(10.0)
    assert (row["runs"], row["offsets"]) == (5, 4)
    assert row["regret_worst"] == pytest.approx(0.025)
    assert row["regret_mean"] == pytest.approx(0.1 * (0 + 1 + 4 + 1) / 16 / 4)
    assert row["regret_worst_share"] == pytest.approx(0.025 / 2.0)
    assert row["regret_worst_low"] == row["regret_worst"] == row["regret_worst_high"]


def test_tolerance_and_basin_of_two_parabolas() -> None:
    """ε·(chance − best) = 0.02: the worst offset of a ratio-10 grid loses curvature/4."""
    rows = grid(parabola(0.2), schedules=["fixed"], lrs=range(-12, 5))
    rows += grid(parabola(0.05), schedules=["cosine"], lrs=range(-12, 5))
    found = measure(results(rows), ReportSpec(epsilon=0.01), resamples=10).tolerance
    own = {r["schedule"]: r for r in found.filter(pl.col("reference") == "own").to_dicts()}
    assert own["fixed"]["every"] == 3
    assert own["cosine"]["every"] == 5
    assert own["fixed"]["runs"] == 6
    assert own["cosine"]["runs"] == 4
    assert own["cosine"]["runs_saved"] == 2
    assert own["cosine"]["loses_at_most"] == pytest.approx(0.05 * (2 / 4) ** 2)
    inside, outside = 0.05 * (2 / 4) ** 2, 0.05 * (3 / 4) ** 2
    half = 0.5 + 0.25 * (0.02 - inside) / (outside - inside)
    assert own["cosine"]["basin_decades"] == pytest.approx(2 * half)
    assert not own["cosine"]["basin_censored"]


def test_a_flat_schedule_tolerates_the_whole_grid() -> None:
    rows = grid(lambda s, i, k: 0.3 + 1e-6 * (i + 4) ** 2, schedules=["fixed"])
    row = measure(results(rows), ReportSpec(), resamples=10).tolerance.row(0, named=True)
    assert row["whole_grid"]
    assert row["basin_censored"]
    assert row["runs"] == 1


def test_sensitivity_of_a_parabola() -> None:
    """Trapezoids over three decades; a run worse than the fresh model counts as the fresh model."""
    rows = grid(parabola(4.0), schedules=["fixed"], lrs=range(-16, 9))
    rows = [row | {"chance_loss": 50.0, "initial_test_loss": 1.5} for row in rows]
    found = measure(results(rows), ReportSpec(), resamples=10).sensitivity.row(0, named=True)
    x = np.arange(-6, 7) / 4
    y = np.minimum(0.3 + 4.0 * x**2, 1.5)
    assert found["decades"] == pytest.approx(3.0)
    assert found["sensitivity"] == pytest.approx((0.125 * (y[1:] + y[:-1])).sum() / 3.0 - 0.3)


@pytest.mark.parametrize("exponent", [0.2, 0.5, 1.0])
def test_exponent_of_a_power_law(exponent: float) -> None:
    """Excess c·max(ρ, 1/ρ)^exponent, beyond chance too: ratios are of values before clipping."""

    def value(s: str, i: int, k: int) -> float:
        return 0.1 + (0.2 + 0.02 * k) * 10.0 ** (exponent * abs(i) / 4)

    rows = [row | {"optimum_loss": 0.1} for row in grid(value, lrs=range(-6, 13))]
    found = measure(results(rows), ReportSpec(), resamples=30)
    assert_allclose(found.exponent["exponent"], exponent)
    assert_allclose(found.exponent["exponent_low"], exponent)
    assert found.exponent["points"].to_list() == [5, 5]
    ratio = found.misspecification.filter(pl.col("shift") == 8)["excess_ratio"]
    assert_allclose(ratio, 100.0**exponent)


def test_rate_over_horizons() -> None:
    rows = []
    for horizon in (100, 400, 1600):
        rows += [
            row | {"optimum_loss": 0.1}
            for row in grid(
                lambda s, i, k, T=horizon: 0.1 + (1 + 0.1 * k) * T**-0.5 * (1 + i**2),
                lrs=range(-2, 3),
                num_steps=horizon,
                setting=f"{horizon} updates",
            )
        ]
    curves = exponential_curves(rows).with_columns(grad_norm=pl.lit(1.0))
    scale = {row["key"]: float(row["num_steps"]) ** -0.25 for row in rows}  # type: ignore[arg-type]
    curves = curves.with_columns(grad_norm=pl.col("key").replace_strict(scale))
    found = measure(results(rows, curves), ReportSpec(), resamples=20)
    assert found.rate["quantity"].unique().sort().to_list() == ["excess", "min_grad_norm_squared"]
    assert_allclose(found.rate["rate"], -0.5, rtol=1e-6)
    assert_allclose(found.rate["rate_high"], -0.5, rtol=1e-6)
    assert found.rate["horizons"].to_list() == [3] * 4
    points = found.horizon.filter(
        (pl.col("schedule") == "fixed") & (pl.col("quantity") == "min_grad_norm_squared")
    )
    assert_allclose(points["value"], [100**-0.5, 400**-0.5, 1600**-0.5])


def test_pairs_and_their_test() -> None:
    """Cosine wins with every seed but one: p is 4/2⁶."""

    def value(s: str, i: int, k: int) -> float:
        return 0.5 + 0.1 * i**2 + 0.01 * k - (0 if s == "fixed" else (-0.001 if k == 0 else 0.01))

    rows = grid(value, lrs=range(-3, 4))
    row = measure(results(rows), ReportSpec(), resamples=200).pairwise.row(0, named=True)
    assert (row["schedule"], row["other"], row["every"]) == ("cosine", "fixed", 1)
    assert row["difference"] == pytest.approx(-(5 * 0.01 - 0.001) / 6)
    assert row["probability"] == pytest.approx(5 / 6)
    assert row["p_value"] == pytest.approx(4 / 2**6)
    assert row["smallest_p_value"] == pytest.approx(2 / 2**6)
    assert row["confidence"] > 0.9


def test_cross_fitting_chooses_with_one_half_and_reports_with_the_other() -> None:
    """Even seeds prefer one learning rate, odd seeds the other."""
    rows = grid(
        lambda s, i, k: 0.5 if i == k % 2 else 1.0, schedules=["fixed"], lrs=[0, 1], seeds=range(4)
    )
    plain = measure(results(rows), ReportSpec(), resamples=10).tuned["value"][0]
    crossed = measure(results(rows), ReportSpec(), resamples=10, cross_fit=True).tuned["value"][0]
    assert (plain, crossed) == (0.75, 1.0)


def test_choosing_on_validation_reporting_on_test() -> None:
    rows = [run("fixed", i, k, 1.0 + i, test_loss=2.0 - i) for i in (-1, 0, 1) for k in range(3)]
    found = measure(results(rows), ReportSpec(), resamples=5).tuned.row(0, named=True)
    assert (found["lr_index"], found["valid_loss"], found["value"]) == (-1, 0.0, 2.3)
    assert found["metric"] == "test loss"


def test_iqm_and_spread_at_the_tuned_learning_rate() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 2.0]
    rows = grid(
        lambda s, i, k: values[k] + abs(i), schedules=["fixed"], lrs=[-1, 0], seeds=range(8)
    )
    found = measure(results(rows), ReportSpec(), resamples=5).tuned.row(0, named=True)
    assert found["value_iqm"] == pytest.approx(np.mean(values[2:6]))
    assert found["value_std"] == pytest.approx(np.std(values, ddof=1))
