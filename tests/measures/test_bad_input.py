"""Whatever the results look like: a sentence or one clear error, never NaN, never a warning."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import DataError
from robustlr.measures import Measures, measure, schemas
from robustlr.specs import ReportSpec
from tests.measures.grids import exponential_curves, grid, random_rows, results, run


def sound(found: Measures) -> Measures:
    """Every frame has its schema, no NaN, and bounds around the value."""
    for field in dataclasses.fields(found):
        frame = getattr(found, field.name)
        schema = getattr(schemas, f"{field.name.upper()}_SCHEMA")
        assert frame.schema == pl.Schema(schema), field.name
        for name in frame.columns:
            if frame[name].dtype.is_float():
                assert not frame[name].is_nan().any(), (field.name, name)
            if name.endswith("_low") and name[:-4] in frame.columns:
                value, low, high = (frame[f"{name[:-4]}{end}"] for end in ("", "_low", "_high"))
                assert (low <= value).fill_null(True).all(), (field.name, name)
                assert (value <= high).fill_null(True).all(), (field.name, name)
    return found


def notes(rows: list[dict[str, object]], curves: bool = True, **more: Any) -> str:
    report = more.pop("report", ReportSpec())
    data = results(rows, exponential_curves(rows) if curves else None)
    return "\n".join(sound(measure(data, report, resamples=20, **more)).notes["note"])


def bowl(schedule: str, index: int, seed: int) -> float:
    return 0.3 + 0.05 * (index + 4) ** 2 + 0.01 * math.sin(7 * index + seed)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.sampled_from(["percentile", "bca"]),
    st.sampled_from(["loss", "metric"]),
    st.booleans(),
)
def test_random_ragged_grids(
    seed: int, ragged: bool, interval: Any, on: Any, cross_fit: bool
) -> None:
    rows = random_rows(np.random.default_rng(seed), ragged=ragged)
    data = results(rows, exponential_curves(rows))
    sound(measure(data, ReportSpec(), resamples=20, interval=interval, on=on, cross_fit=cross_fit))


def test_a_sound_grid_has_nothing_to_say() -> None:
    assert notes(grid(bowl)) == ""


def test_no_runs() -> None:
    with pytest.raises(DataError, match="no runs to measure"):
        measure(results([]), ReportSpec())


def test_duplicated_runs_are_named() -> None:
    rows = grid(bowl)
    with pytest.raises(
        DataError, match=r"2 runs of fixed at learning rate 0\.01, seed 0; keep one"
    ):
        measure(results([*rows, rows[0]]), ReportSpec())


@pytest.mark.parametrize("peak_lr", [0.0, -0.1, float("inf"), float("nan")])
def test_learning_rates_that_are_none(peak_lr: float) -> None:
    with pytest.raises(DataError, match="not a positive number"):
        measure(results([run("fixed", 0, 0, 1.0, peak_lr=peak_lr)]), ReportSpec())


@pytest.mark.parametrize("name", ["schedule", "seed", "lr_index", "peak_lr", "setting"])
def test_missing_names(name: str) -> None:
    with pytest.raises(DataError, match=f"a run has no {name}"):
        measure(results([run("fixed", 0, 0, 1.0) | {name: None}]), ReportSpec())


def test_learning_rates_out_of_order() -> None:
    rows = [run("fixed", i, 0, 1.0, peak_lr=1.0 / (i + 1)) for i in range(3)]
    with pytest.raises(DataError, match="does not grow"):
        measure(results(rows), ReportSpec())


def test_one_learning_rate() -> None:
    said = notes(grid(bowl, lrs=[0]))
    assert "one learning rate" in said
    assert "widen" not in said


def test_one_run() -> None:
    said = notes([run("fixed", 0, 0, 1.0)])
    assert "one seed: no interval" in said


@pytest.mark.parametrize("cross_fit", [False, True])
def test_one_seed_has_no_interval(cross_fit: bool) -> None:
    data = results(grid(bowl, seeds=[3]))
    found = sound(measure(data, ReportSpec(), resamples=20, cross_fit=cross_fit))
    assert found.tuned["value"].null_count() == 0
    assert found.tuned["value_low"].null_count() == 2
    assert "one seed" in "\n".join(found.notes["note"])


def test_five_seeds_cannot_be_significant() -> None:
    assert "cannot reach p < 0.05" in notes(grid(bowl, seeds=range(5)))


def test_everything_diverged() -> None:
    data = results(grid(lambda *_: None))
    found = sound(measure(data, ReportSpec(), resamples=20))
    assert "every run diverged" in "\n".join(found.notes["note"])
    assert found.tuned["at_chance"].all()
    assert (found.tuned["value"] == 2.3).all()
    assert found.tolerance["resolution"].null_count() == len(found.tolerance)


def test_one_schedule_diverged_everywhere() -> None:
    assert "every run of cosine diverged" in notes(
        grid(lambda s, i, k: None if s == "cosine" else bowl(s, i, k))
    )


def test_constant_values() -> None:
    said = notes(grid(lambda *_: 0.7))
    assert "every run has the same value (0.7)" in said


def test_optimum_at_the_edge() -> None:
    found = measure(results(grid(lambda s, i, k: 1.0 - 0.1 * i)), ReportSpec(), resamples=20)
    assert found.tuned["edge_side"].to_list() == ["high", "high"]
    assert found.tolerance["runs_saved"].null_count() == 4
    assert "widen the grid upwards" in "\n".join(found.notes["note"])


def test_a_schedule_missing_at_some_learning_rates() -> None:
    rows = [r for r in grid(bowl) if (r["schedule"], r["lr_index"]) != ("cosine", -3)]
    assert "cosine has no runs at 1 of the 9 learning rates" in notes(rows)


def test_grids_that_differ_between_schedules() -> None:
    rows = [r for r in grid(bowl) if r["schedule"] == "fixed" or int(r["lr_index"]) > -7]  # type: ignore[call-overload]
    assert "cosine was run from 0.0316 to 1 only" in notes(rows)


def test_grids_that_do_not_meet() -> None:
    rows = grid(bowl, schedules=["fixed"], lrs=[-8, -7]) + grid(
        bowl, schedules=["cosine"], lrs=[-2]
    )
    found = sound(measure(results(rows), ReportSpec(), resamples=20))
    common = found.sensitivity.filter(pl.col("window") == "common")
    assert common["sensitivity"].null_count() == 2


def test_learning_rates_that_form_no_grid() -> None:
    assert "no regular grid" in notes(grid(bowl, lrs=[-8, -7, -1, 4, 16]))


def test_missing_seeds() -> None:
    rows = [r for r in grid(bowl) if (r["lr_index"], r["seed"]) != (-4, 5)]
    assert "5 to 6 seeds per learning rate" in notes(rows)


def test_schedules_without_a_common_seed() -> None:
    rows = grid(bowl, schedules=["fixed"]) + grid(bowl, schedules=["cosine"], seeds=range(6, 12))
    found = sound(measure(results(rows), ReportSpec(), resamples=20))
    assert "share no seed" in "\n".join(found.notes["note"])
    assert found.pairwise["p_value"].null_count() == len(found.pairwise)


def test_an_unreachable_target() -> None:
    rows = grid(bowl)
    said = notes(rows, report=ReportSpec(target=-5.0))
    assert "no run reaches the target (-5)" in said


def test_a_baseline_that_was_not_run() -> None:
    assert "the baseline 'linear' has no runs" in notes(
        grid(bowl), report=ReportSpec(baseline="linear")
    )


def test_no_curves() -> None:
    assert "no curves of the validation loss" in notes(grid(bowl), curves=False)


def test_no_test_split() -> None:
    rows = [row | {"test_loss": None} for row in grid(bowl)]
    assert "no test loss: values are those of the validation split" in notes(rows)


def test_unknown_chance() -> None:
    rows = [row | {"chance_loss": None} for row in grid(bowl)]
    assert "that of the fresh model stands for it" in notes(rows)
    rows = [row | {"initial_valid_loss": None, "initial_test_loss": None} for row in rows]
    assert "the worst final loss stands for it" in notes(rows, curves=False)


def test_values_worse_than_chance_are_clipped_and_counted() -> None:
    rows = grid(lambda s, i, k: 9.0 if i == 0 else bowl(s, i, k))
    assert "12 runs ended worse than chance (2.3)" in notes(rows)


def test_infinite_and_nan_losses_count_as_diverged() -> None:
    rows = [
        row | ({"valid_loss": bad} if row["lr_index"] == 0 else {})
        for row, bad in zip(grid(bowl), [math.nan, math.inf] * 54, strict=True)
    ]
    found = sound(measure(results(rows), ReportSpec(), resamples=20))
    assert found.per_lr.filter(pl.col("lr_index") == 0)["divergence_rate"].to_list() == [1.0, 1.0]


def test_negative_losses() -> None:
    rows = [
        row | {"valid_loss": v, "test_loss": v, "chance_loss": -1.0}
        for row in grid(bowl)
        for v in [float(row["valid_loss"]) - 5.0]  # type: ignore[arg-type]
    ]
    assert notes(rows) == ""


def test_names_in_any_script() -> None:
    names = ["fixed", "κosinus <b>&\n", "退火"]
    found = sound(measure(results(grid(bowl, schedules=names)), ReportSpec(), resamples=20))
    assert found.tuned["schedule"].to_list() == names


def test_optimum_above_the_tuned_value_gives_no_ratio() -> None:
    rows = [row | {"optimum_loss": 0.9} for row in grid(bowl, lrs=range(-8, 5))]
    found = sound(measure(results(rows), ReportSpec(), resamples=20))
    assert found.misspecification["excess_ratio"].null_count() == len(found.misspecification)
    assert "has no exponent" in "\n".join(found.notes["note"])
