"""The curves behind the pictures of training."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from robustlr import figures
from robustlr.measures import measure
from robustlr.records import Results
from robustlr.report.pictures import pictures
from robustlr.report.setting import settings_of
from robustlr.report.training_curves import traces, tuned_curves, tuned_runs, with_fit
from robustlr.specs import ReportSpec
from tests.report.synthetic import VALLEYS, synthetic


@pytest.fixture(scope="module")
def results() -> Results:
    plain = synthetic(
        {name: VALLEYS[name] for name in ("fixed", "cosine")}, indices=range(-8, 3), seeds=3
    )
    keys = plain.runs.filter(pl.col("schedule") == "cosine")["key"].implode()
    adaptive = pl.col("key").is_in(keys)
    telemetry = {
        name: pl.when(adaptive).then(value)
        for name, value in {
            "curvature_trace": pl.col("step") - 50.0,
            "curvature_smoothed": pl.col("step") - 20.0,
            "curvature_clamped": (pl.col("step") < 20).cast(pl.Float64),
            "warmup_probability": pl.col("step") / 400,
        }.items()
    }
    outcome = json.dumps({"warmup_switch_step": 150, "warmup_reason": "minimum_passed"})
    return dataclasses.replace(
        plain,
        curves=plain.curves.with_columns(**telemetry),
        runs=plain.runs.with_columns(
            outcome=pl.when(adaptive).then(pl.lit(outcome)).otherwise(pl.lit("{}"))
        ),
    )


def test_curves_are_medians_over_the_tuned_runs(results: Results) -> None:
    measures = measure(results, ReportSpec(), resamples=0)
    setting = measures.tuned["setting"][0]
    runs = tuned_runs(results, setting, measures.tuned)
    curves = tuned_curves(results, runs)
    for name, lr_index in measures.tuned.select("schedule", "lr_index").iter_rows():
        keys = results.runs.filter(schedule=name, lr_index=lr_index)["key"].to_list()
        assert sorted(runs.filter(schedule=name)["key"]) == sorted(keys)
        losses = [results.curves.filter(key=key).sort("step")["valid_loss"] for key in keys]
        shown = curves.filter(schedule=name).sort("step")
        assert np.allclose(shown["loss"], np.median(losses, axis=0))
        assert np.allclose(shown["loss_low"], np.quantile(losses, 0.25, axis=0))
        assert np.allclose(shown["loss_high"], np.quantile(losses, 0.75, axis=0))


def test_only_schedules_with_telemetry_have_traces(results: Results) -> None:
    measures = measure(results, ReportSpec(), resamples=0)
    runs = tuned_runs(results, measures.tuned["setting"][0], measures.tuned)
    (trace,) = traces(results, runs, "curvature_trace")
    assert trace.schedule == "cosine"
    assert trace.outcome["warmup_switch_step"] == 150
    assert not list(traces(results, runs, "no_such_column"))


def test_the_fit_follows_the_losses_before_the_switch_only() -> None:
    step = np.arange(0, 400, 10)
    loss = np.where(step <= 200, 2.0 - step / 200, 50.0)
    curve = with_fit(pl.DataFrame({"step": step, "train_loss": loss}), 200)
    inside = curve.filter(pl.col("step") <= 200)
    assert np.allclose(inside["fit"], inside["train_loss"], atol=0.02)
    assert (inside["fit_low"] <= inside["fit"]).all()
    assert (inside["fit"] <= inside["fit_high"]).all()
    assert curve.filter(pl.col("step") > 200)["fit"].null_count() == 19


def test_too_few_losses_have_no_fit() -> None:
    curve = with_fit(pl.DataFrame({"step": [1, 2], "train_loss": [1.0, 2.0]}), None)
    assert curve["fit"].null_count() == 2


def test_adaptive_schedules_get_their_pictures(results: Results) -> None:
    measures = measure(results, ReportSpec(), resamples=0)
    (setting,) = settings_of(results, measures, ReportSpec())
    looks = figures.looks(setting.schedules)
    shown = {picture.key: picture for picture in pictures(setting, results, looks)}
    assert "ended after 150 updates: minimum passed." in shown["warmup-1"].explanation
    for key in ("warmup-1", "curvature-1", "convergence"):
        figure = shown[key].draw()
        figure.draw_without_rendering()
        assert all(axis.get_ylabel() for axis in figure.axes)
    lines = [
        line for axis in shown["warmup-1"].draw().axes for line in axis.lines
        if list(line.get_xdata()) == [150, 150]
    ]  # fmt: skip
    assert len(lines) == 3
