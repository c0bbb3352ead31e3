"""What the report says over batch sizes is what went into the results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from robustlr import figures
from robustlr.measures import Measures, measure
from robustlr.records import Results
from robustlr.report import build_report
from robustlr.report.batch_size import batch_size_pictures, batch_size_tables
from robustlr.report.batch_size_frames import families, picked_frame, tuned_frame
from robustlr.specs import ReportSpec
from tests.report.batches import AUTO, BASELINE, BATCH_SIZES, OPTIMA, over_batch_sizes
from tests.report.synthetic import VALLEYS, synthetic

SPEC = ReportSpec(baseline=BASELINE)


def measured(results: Results) -> Measures:
    return measure(results, SPEC, resamples=20)


@pytest.fixture(scope="module")
def results() -> Results:
    return over_batch_sizes()


@pytest.fixture(scope="module")
def measures(results: Results) -> Measures:
    return measured(results)


def drawn(results: Results, measures: Measures) -> list[str]:
    looks = figures.looks([AUTO, BASELINE])
    pictures = list(batch_size_pictures(results, measures, looks, baseline=BASELINE))
    for picture in pictures:
        picture.draw().draw_without_rendering()
    return [picture.key for picture in pictures]


def test_tuned_rates_are_those_of_the_settings_and_linear_scaling_starts_at_the_smallest(
    results: Results, measures: Measures
) -> None:
    tuned = tuned_frame(results, measures, baseline=BASELINE)
    for optimizer, best in OPTIMA.items():
        rows = tuned.filter(family=optimizer, schedule=BASELINE).sort("batch_size")
        assert rows["batch_size"].to_list() == list(BATCH_SIZES)
        assert np.allclose(rows["peak_lr"], [10 ** (best + 0.5 * k) for k in range(4)])
        linear = [10**best * size / BATCH_SIZES[0] for size in BATCH_SIZES]
        assert np.allclose(rows["linear_lr"], linear)
        assert rows["picked_lr"].null_count() == rows["never_fired"].null_count() == 4
    for row in tuned.iter_rows(named=True):
        same = measures.tuned.filter(setting=row["setting"], schedule=row["schedule"])
        assert same["value"][0] == row["value"]
        assert same["peak_lr"][0] == row["peak_lr"]


def test_what_was_picked_is_lr_max_times_the_multiplier_at_the_largest_lr_max(
    results: Results, measures: Measures
) -> None:
    tuned = tuned_frame(results, measures, baseline=BASELINE)
    for row in tuned.filter(schedule=AUTO).iter_rows(named=True):
        runs = results.runs.filter(setting=row["setting"], schedule=AUTO)
        outcomes = [json.loads(outcome) for outcome in runs["outcome"]]
        never = np.mean([o["warmup_reason"] == "test_never_fired" for o in outcomes])
        assert row["never_fired"] == pytest.approx(never)
        last = [
            lr * o["warmup_multiplier"]
            for lr, o in zip(runs["peak_lr"], outcomes, strict=True)
            if lr == max(runs["peak_lr"])
        ]
        assert row["picked_lr"] == pytest.approx(np.median(last))
        at_last = measures.per_lr.filter(setting=row["setting"], schedule=AUTO).sort("peak_lr")
        assert row["untuned_value"] == at_last["value"][-1]


def test_picked_over_lr_max(results: Results, measures: Measures) -> None:
    picked = picked_frame(results, measures)
    assert picked["schedule"].unique().to_list() == [AUTO]
    part = picked.filter(family="sgd", batch_size=32).sort("peak_lr")
    wanted = 10.0 ** OPTIMA["sgd"] / 3
    assert np.allclose(part["picked_lr"], np.minimum(part["peak_lr"], wanted))
    assert np.allclose(part["picked_lr_high"], np.minimum(part["peak_lr"], 1.1 * wanted))
    seeds = wanted * np.array([0.9, 1.0, 1.1])
    never = [(seeds >= lr).mean() for lr in part["peak_lr"]]
    assert 0 < never[3] < 1
    assert np.allclose(part["never_fired"], never)


def test_a_warmup_that_no_test_ended_picks_nothing_without_a_multiplier() -> None:
    plain = over_batch_sizes(optimizers=["sgd"], batch_sizes=[32, 125])
    unended = json.dumps({"warmup_multiplier": None, "warmup_reason": None})
    top = (pl.col("schedule") == AUTO) & (pl.col("lr_index") == 4)
    runs = plain.runs.with_columns(
        outcome=pl.when(top).then(pl.lit(unended)).otherwise(pl.col("outcome"))
    )
    results = Results(runs=runs, curves=plain.curves, points_per_decade=2)
    picked = picked_frame(results, measured(results)).filter(lr_index=4)
    assert picked["picked_lr"].null_count() == len(picked) == 2
    assert picked["never_fired"].to_list() == [0.0, 0.0]


def test_no_linear_scaling_from_an_edge() -> None:
    results = over_batch_sizes(optimizers=["sgd"], indices=range(-2, 5))
    measures = measured(results)
    tuned = tuned_frame(results, measures, baseline=BASELINE)
    assert tuned.filter(schedule=BASELINE, batch_size=32)["edge"].to_list() == [True]
    assert tuned["linear_lr"].null_count() == len(tuned)
    assert tuned["linear_value"].null_count() == len(tuned)
    looks = figures.looks([AUTO, BASELINE])
    first = next(batch_size_pictures(results, measures, looks, baseline=BASELINE))
    assert "No linear scaling is drawn" in first.explanation
    (table,) = batch_size_tables(results, measures, baseline=BASELINE)
    remarks = {row[:3]: row[-1] for row in table.rows}
    assert remarks["sgd", BASELINE, "32"] == "at an edge"
    assert remarks["sgd", BASELINE, "500"] == ""


@pytest.mark.parametrize("highest", [4, 0])
def test_what_linear_scaling_comes_to_is_the_baselines_loss_at_the_nearest_grid_point(
    highest: int,
) -> None:
    # the tuned learning rate stays 0.1 over batch sizes, so that scaling overshoots
    results = over_batch_sizes(optimizers=["sgd"], growth=0.0, indices=range(-6, highest + 1))
    measures = measured(results)
    tuned = tuned_frame(results, measures, baseline=BASELINE)
    (table,) = batch_size_tables(results, measures, baseline=BASELINE)
    shown = {row[1:3]: row[table.columns.index("scaled, it came to")] for row in table.rows}
    # 0.1 · B/32 = 0.1, 0.39, 1.56, 3.125, on a grid of half decades: its indices
    for size, nearest in zip(BATCH_SIZES, (-2, -1, 0, 1), strict=True):
        inside = 0.1 * size / 32 <= 10 ** (highest / 2)
        runs = results.runs.filter(batch_size=size, schedule=BASELINE, lr_index=nearest)
        for schedule in (AUTO, BASELINE):
            (row,) = tuned.filter(batch_size=size, schedule=schedule).iter_rows(named=True)
            assert (row["linear_value"] is not None) == inside
            if inside:
                losses = runs["test_loss"].fill_null(runs["chance_loss"]).to_numpy()  # diverged
                assert len(losses) == 3
                assert row["linear_value"] == pytest.approx(losses.mean())
                assert row["linear_value_low"] <= row["linear_value"] <= row["linear_value_high"]
                first = shown[schedule, str(size)].partition(" [")[0]
                assert float(first) == pytest.approx(losses.mean(), rel=0.01)
            else:
                assert shown[schedule, str(size)] == "—"


def test_the_table_has_a_row_per_point_of_the_figure(results: Results, measures: Measures) -> None:
    (table,) = batch_size_tables(results, measures, baseline=BASELINE)
    assert [row[:3] for row in table.rows] == [
        (optimizer, schedule, str(size))
        for optimizer in OPTIMA
        for schedule in (AUTO, BASELINE)
        for size in BATCH_SIZES
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[0][7] == "0.0333"  # a third of 0.1
    assert table.rows[4][7:10] == ("—", "—", "—")


def test_nothing_where_the_batch_size_does_not_vary() -> None:
    results = synthetic({name: VALLEYS[name] for name in ("fixed", "cosine")}, seeds=2)
    measures = measured(results)
    assert drawn(results, measures) == []
    assert batch_size_tables(results, measures, baseline=BASELINE) == []


def test_no_column_or_figure_of_picks_where_nothing_picks() -> None:
    results = over_batch_sizes(optimizers=["sgd"], schedules=[BASELINE, "linear"])
    measures = measured(results)
    assert drawn(results, measures) == ["batch-size"]
    (table,) = batch_size_tables(results, measures, baseline=BASELINE)
    assert "picked" not in table.columns


def test_several_workloads_have_a_figure_each() -> None:
    parts = [
        over_batch_sizes(optimizers=["sgd"], batch_sizes=[32, 125], workload=workload)
        for workload in ("one", "two")
    ]
    results = Results(
        runs=pl.concat([part.runs for part in parts]),
        curves=pl.concat([part.curves for part in parts]),
        points_per_decade=2,
    )
    measures = measured(results)
    assert drawn(results, measures) == ["batch-size-1", "picked-1", "batch-size-2", "picked-2"]
    (table,) = batch_size_tables(results, measures, baseline=BASELINE)
    assert {row[0] for row in table.rows} == {"one · sgd", "two · sgd"}


def test_several_budgets_make_a_family_each() -> None:
    results = over_batch_sizes(
        optimizers=["sgd"], batch_sizes=[32, 125], num_examples=[16_000, 64_000]
    )
    found = families(results.runs)
    assert found["family"].unique().sort().to_list() == [
        "sgd · 16000 examples",
        "sgd · 64000 examples",
    ]
    assert found.group_by("family").agg(pl.col("batch_size").sort())["batch_size"].to_list() == [
        [32, 125],
        [32, 125],
    ]


@pytest.mark.parametrize("reason", ["minimum_passed_at_end", "loss_exploded", "non_finite_loss"])
def test_a_warmup_whose_last_test_fired_did_fire(reason: str) -> None:
    plain = over_batch_sizes(optimizers=["sgd"], batch_sizes=[32, 125])
    outcomes = plain.runs["outcome"].str.replace("test_never_fired", reason)
    runs = plain.runs.with_columns(outcomes)
    results = Results(runs=runs, curves=plain.curves, points_per_decade=2)
    assert picked_frame(results, measured(results))["never_fired"].sum() == 0.0


@pytest.mark.slow
def test_the_report_shows_them_before_its_settings(tmp_path: Path) -> None:
    results = over_batch_sizes(optimizers=["sgd"], batch_sizes=[32, 125], indices=range(-4, 5))
    page = build_report(
        results, SPEC, tmp_path / "report", name="batches", question="?", resamples=10
    )
    folder = page.parent
    text = (folder / "report.md").read_text()
    first = text.index("## digits")
    for shown in ("figures/batch-size.svg", "figures/picked.svg", "### Over batch sizes"):
        assert text.index(shown) < first
    assert page.read_text().count("<h3>Over batch sizes</h3>") == 1
    assert (folder / "figures/batch-size.png").stat().st_size > 0
    assert r"auto\_warmup & 125" in (folder / "tables/batch_size.tex").read_text()
