"""The curves behind the pictures of training."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import polars as pl
import pytest

from robustlr import figures
from robustlr.gp import Spectrum
from robustlr.measures import measure
from robustlr.records import Results
from robustlr.report.pictures import pictures
from robustlr.report.setting import settings_of
from robustlr.report.training_curves import (
    Trace,
    traces,
    tuned_curves,
    tuned_runs,
    untuned_runs,
    with_estimates,
    with_fit,
)
from robustlr.schedules.loss_rise import standardised
from robustlr.specs import ReportSpec
from robustlr.training import train
from robustlr.workloads import build_workload
from tests.report.synthetic import VALLEYS, synthetic
from tests.training.cells import digits_cell


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


def test_rows_that_repeat_an_estimate_are_none() -> None:
    cell = digits_cell("curvature_adaptive:every=40", num_steps=60, log_every=25)
    _, curve = train(cell, build_workload(cell.workload))
    trace = Trace(schedule="curvature_adaptive", curve=curve, outcome={})
    assert curve["step"].to_list() == [0, 25, 50, 60]
    assert [value is not None for value in curve["curvature_trace"]] == [False, True, True, True]
    kept = with_estimates(trace)
    assert kept["curvature_trace"].to_list() == [None, *curve["curvature_trace"][1:3], None]
    assert kept.drop("curvature_trace").equals(curve.drop("curvature_trace"))
    unknown = curve.with_columns(curvature_passes=pl.lit(None, pl.Float64()))
    everything = with_estimates(dataclasses.replace(trace, curve=unknown))
    assert everything["curvature_trace"].equals(curve["curvature_trace"])


def trace_of(
    step: list[int], loss: list[float], switch_step: int | None, schedule: str = "auto_warmup"
) -> Trace:
    curve = pl.DataFrame({"step": step, "train_loss": loss})
    return Trace(schedule=schedule, curve=curve, outcome={"warmup_switch_step": switch_step})


def test_untuned_runs_are_those_at_the_largest_learning_rate(results: Results) -> None:
    setting = results.runs["setting"][0]
    runs = untuned_runs(results, setting).join(results.runs, on="key")
    assert set(runs["lr_index"]) == {results.runs["lr_index"].max()}
    assert runs.height == 2 * 3  # schedules and seeds


def test_the_fit_follows_the_losses_before_the_switch_only() -> None:
    step = np.arange(0, 400, 10)
    loss = np.where(step <= 200, 2.0 - step / 200, 50.0)
    curve = with_fit(trace_of(step.tolist(), loss.tolist(), 200))
    inside = curve.filter(pl.col("step") <= 200)
    assert np.allclose(inside["fit"], inside["train_loss"], atol=0.02)
    assert (inside["fit_low"] <= inside["fit"]).all()
    assert (inside["fit"] <= inside["fit_high"]).all()
    assert curve.filter(pl.col("step") > 200)["fit"].null_count() == 19


@pytest.mark.parametrize(
    ("schedule", "lengthscale"),
    [("auto_warmup", 0.2), ("auto_warmup:lengthscale=0.05", 0.05), ("somebody's own", 0.2)],
)
def test_the_fit_is_the_process_of_the_schedule(schedule: str, lengthscale: float) -> None:
    x = np.arange(1, 65) / 64
    losses = 2.0 + np.cos(6 * x) + 0.2 * np.random.default_rng(0).normal(size=64)
    losses[50] = 1e3  # the warmup takes it for less
    steps = list(range(4, 260, 4))
    seen = with_fit(trace_of(steps, losses.tolist(), None, schedule))
    y = standardised(losses.tolist())
    assert y is not None
    process = Spectrum.of(x, lengthscale).fit(y)
    capped = np.minimum(losses, np.median(losses) + 3 * (np.median(losses) - losses.min()))
    mean = capped.mean() + capped.std() * process.posterior_mean(x)
    deviation = capped.std() * np.sqrt(np.diag(process.posterior_covariance(x)))
    np.testing.assert_allclose(seen["fit"], mean, rtol=1e-9)
    np.testing.assert_allclose(seen["fit_high"] - seen["fit_low"], 4 * deviation, rtol=1e-6)
    assert seen["fit"].max() < 10  # type: ignore[operator]


def test_constant_losses_fit_themselves() -> None:
    curve = with_fit(trace_of([1, 2, 3, 4, 5], [0.7] * 5, None))
    assert curve["fit"].to_list() == curve["fit_low"].to_list() == [0.7] * 5


def test_too_few_losses_have_no_fit() -> None:
    assert with_fit(trace_of([1, 2], [1.0, 2.0], None))["fit"].null_count() == 2


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
