"""Time to target: curves found whatever their order, misses in the median, closed-form speedups."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from robustlr.measures import measure
from robustlr.measures.curves import flat_curves
from robustlr.measures.resampling import make_plan
from robustlr.measures.time_to_target import median_time, weighted_median
from robustlr.records import CURVE_SCHEMA
from robustlr.specs import ReportSpec
from tests.measures.grids import exponential_curves, grid, random_rows, results


def test_curves_do_not_depend_on_the_order_of_rows() -> None:
    rows = random_rows(np.random.default_rng(0), ragged=True)
    curves = exponential_curves(rows)
    tidy = flat_curves(results(rows, curves))
    mixed = flat_curves(results(rows, curves.sample(fraction=1.0, shuffle=True, seed=1)))
    for index in range(len(rows)):
        for name in ("loss", "updates", "cost", "evaluation", "seconds"):
            one, two = getattr(tidy, name)[tidy.run(index)], getattr(mixed, name)[mixed.run(index)]
            assert (one == two).all()
    assert_allclose(tidy.min_grad_norm_squared, mixed.min_grad_norm_squared)


def test_rows_without_an_evaluation_and_curves_of_other_runs_are_passed_over() -> None:
    rows = grid(lambda s, i, k: 0.5, lrs=[0], seeds=[0])
    curves = exponential_curves(rows)
    logged = curves.with_columns(
        valid_loss=pl.when(pl.col("step") % 20 == 0).then("valid_loss"),
    )
    stranger = curves.with_columns(key=pl.lit("somebody else's"))
    flat = flat_curves(results(rows, pl.concat([stranger, logged])))
    assert flat.count.tolist() == [6, 6]
    for index in range(2):
        assert flat.updates[flat.run(index)].tolist() == [0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_median_time_is_what_half_of_the_runs_attain(n: int) -> None:
    generator = np.random.default_rng(n)
    times = generator.choice([1.0, 2.0, 3.0, np.inf, np.nan], size=(4, n, 2))
    times[..., 1] = np.where(np.isnan(times[..., 0]), np.nan, generator.uniform(size=(4, n)))
    times[..., 0] = np.where(np.isnan(times[..., 1]), np.nan, times[..., 0])
    weights = make_plan(n, resamples=30).plain.report
    target = generator.integers(0, 2, size=len(weights))
    found = median_time(times, weights, target)
    for lr in range(4):
        for r, weight in enumerate(weights):
            mine = np.repeat(times[lr, :, target[r]], weight.astype(int))
            mine = np.sort(mine[~np.isnan(mine)])
            expected = mine[int(np.ceil(len(mine) / 2)) - 1] if len(mine) else np.nan
            assert_allclose(found[lr, r], expected)


def test_weighted_median_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=7)
    weights = make_plan(7, resamples=50).plain.report
    expected = [np.median(np.repeat(values, w.astype(int))) for w in weights]
    assert_allclose(weighted_median(values, weights), expected)


def study(times: dict[str, list[float]], setting: str = "setting", cost: float = 1.0):  # type: ignore[no-untyped-def]
    """Schedules at three learning rates; the middle is tuned and reaches 0.5 at the given steps."""
    rows = grid(
        lambda s, i, k: 0.2 if i == 0 else 1.0,
        schedules=list(times),
        lrs=[-1, 0, 1],
        seeds=range(len(next(iter(times.values())))),
        setting=setting,
    )
    frames = []
    for row in rows:
        step = np.arange(0.0, 101.0, 10.0)
        reach = times[str(row["schedule"])][int(row["seed"])]  # type: ignore[call-overload]
        loss = np.where((step >= reach) & (row["lr_index"] == 0), 0.4, 1.5)
        columns = {
            "key": [row["key"]] * len(step),
            "step": step.astype(int),
            "valid_loss": loss,
            "example_passes": step * cost,
            "curvature_passes": step * (1.0 if row["schedule"] == "cosine" else 0.0),
            "evaluation_passes": step * 3.0,
            "wall_seconds": step * 0.1,
        }
        columns |= {name: [None] * len(step) for name in CURVE_SCHEMA if name not in columns}
        schema = {"key": pl.String(), **CURVE_SCHEMA}
        frames.append(pl.DataFrame(columns, schema=schema, strict=False))
    return rows, pl.concat(frames)


def test_speedup_of_known_curves() -> None:
    rows, curves = study({"fixed": [80, 80, 80], "cosine": [20, 40, 100]})
    found = measure(results(rows, curves), ReportSpec(target=0.5), resamples=50).speedup
    cosine = found.filter((pl.col("schedule") == "cosine") & (pl.col("shift") == 0)).row(
        0, named=True
    )
    assert (cosine["updates"], cosine["cost"], cosine["evaluation_cost"]) == (40.0, 80.0, 120.0)
    assert cosine["seconds"] == pytest.approx(4.0)
    assert (cosine["speedup_updates"], cosine["speedup_cost"]) == (2.0, 1.0)
    assert cosine["hit_rate"] == 1.0
    wrong = found.filter((pl.col("schedule") == "cosine") & (pl.col("shift") == 1)).row(
        0, named=True
    )
    assert (wrong["updates"], wrong["speedup_updates"], wrong["hit_rate"]) == (np.inf, 0.0, 0.0)


def test_a_miss_takes_part_in_the_median() -> None:
    rows, curves = study({"fixed": [80, 80, 80, 80], "cosine": [20, 20, np.inf, np.inf]})
    found = measure(results(rows, curves), ReportSpec(target=0.5), resamples=0).speedup
    tuned = found.filter((pl.col("schedule") == "cosine") & (pl.col("shift") == 0)).row(
        0, named=True
    )
    assert (tuned["updates"], tuned["hit_rate"]) == (20.0, 0.5)
    rows, curves = study({"fixed": [80, 80, 80], "cosine": [20, np.inf, np.inf]})
    found = measure(results(rows, curves), ReportSpec(target=0.5), resamples=0).speedup
    tuned = found.filter((pl.col("schedule") == "cosine") & (pl.col("shift") == 0)).row(
        0, named=True
    )
    assert (tuned["updates"], tuned["speedup_updates"]) == (np.inf, 0.0)


def test_profile_and_score_over_two_settings() -> None:
    first = study({"fixed": [80] * 3, "cosine": [20] * 3}, "one")
    second = study({"fixed": [20] * 3, "cosine": [40] * 3}, "two")
    data = results(first[0] + second[0], pl.concat([first[1], second[1]]))
    found = measure(data, ReportSpec(target=0.5), resamples=20)
    score = {
        row["schedule"]: row["score"]
        for row in found.score.filter(pl.col("unit") == "updates").iter_rows(named=True)
    }
    assert score["fixed"] == pytest.approx((0.0 + 1.0) / 2)
    assert score["cosine"] == pytest.approx((1.0 + 2.0 / 3.0) / 2)
    profile = found.profile.filter((pl.col("unit") == "updates") & (pl.col("schedule") == "cosine"))
    assert profile["tau"].to_list() == [1.0, 2.0, 4.0]
    assert profile["fraction"].to_list() == [0.5, 1.0, 1.0]
