"""The curves behind the pictures of training: those of runs at the tuned learning rate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from robustlr.errors import SpecError
from robustlr.records import Results
from robustlr.schedules import AutoWarmup, parse
from robustlr.schedules.minimum_test import posterior

CURVATURE, WARMUP = "curvature_trace", "warmup_probability"
_LEAST_LOSSES = 4


def tuned_runs(results: Results, setting: str, tuned: pl.DataFrame) -> pl.DataFrame:
    """key, schedule and seed of the runs of one setting at each schedule's tuned lr."""
    return (
        results.runs.filter(pl.col("setting") == setting)
        .join(tuned.select("schedule", "lr_index"), on=["schedule", "lr_index"])
        .select("key", "schedule", "seed")
    )


def untuned_runs(results: Results, setting: str) -> pl.DataFrame:
    """key, schedule and seed of the runs of one setting at the largest learning rate: the lr_max
    of whoever leaves the choice to an automated warmup."""
    runs = results.runs.filter(pl.col("setting") == setting)
    return runs.filter(pl.col("lr_index") == runs["lr_index"].max()).select(
        "key", "schedule", "seed"
    )


def tuned_curves(results: Results, runs: pl.DataFrame) -> pl.DataFrame:
    """Median and quartiles over seeds of the validation loss, and the median lr, by step.

    runs: of `tuned_runs`. Columns schedule, step, loss, loss_low, loss_high, lr.
    """
    joined = results.curves.select("key", "step", "valid_loss", "lr").join(runs, on="key")
    return (
        joined.group_by("schedule", "step")
        .agg(
            loss=pl.col("valid_loss").median(),
            loss_low=pl.col("valid_loss").quantile(0.25, "linear"),
            loss_high=pl.col("valid_loss").quantile(0.75, "linear"),
            lr=pl.col("lr").median(),
        )
        .sort("schedule", "step")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run of an adaptive schedule. outcome: what the schedule reported at its end."""

    schedule: str
    curve: pl.DataFrame
    outcome: Mapping[str, Any]

    @property
    def switch_step(self) -> int | None:
        """The step at which an automated warmup ended, if there is one and it did."""
        step = self.outcome.get("warmup_switch_step")
        return None if step is None else int(step)


def traces(results: Results, runs: pl.DataFrame, column: str) -> Iterator[Trace]:
    """By schedule with telemetry in `column`: the curve of its first seed's run of `runs`."""
    if column not in results.curves.columns:
        return
    first = runs.sort("seed").unique("schedule", keep="first", maintain_order=True)
    for key, schedule in first.select("key", "schedule").iter_rows():
        curve = results.curves.filter(pl.col("key") == key).sort("step")
        if curve[column].count():
            outcome = results.runs.filter(pl.col("key") == key)["outcome"][0]
            yield Trace(schedule=schedule, curve=curve, outcome=json.loads(outcome or "{}"))


def with_estimates(trace: Trace) -> pl.DataFrame:
    """Its curve with a curvature trace only in rows since whose predecessor one was estimated.

    Telemetry repeats the last estimate in every row; the passes spent on the curvature grow with
    each.
    """
    passes = pl.col("curvature_passes")
    estimated = (passes > passes.shift(1, fill_value=0.0)).fill_null(True)
    return trace.curve.with_columns(pl.when(estimated).then(CURVATURE).alias(CURVATURE))


def with_fit(trace: Trace) -> pl.DataFrame:
    """Its curve with fit, fit_low, fit_high: what the warmup's process sees in the losses so far.

    As the schedule it stands for, but it has the logged means, not every loss that the schedule
    saw; the band is ± 2 standard deviations of the curve.
    """
    curve, inside = trace.curve, pl.col("train_loss").is_not_null()
    if trace.switch_step is not None:
        inside &= pl.col("step") <= trace.switch_step
    seen = curve.filter(inside)
    if seen.height < _LEAST_LOSSES:
        nothing = pl.lit(None, pl.Float64())
        return curve.with_columns(fit=nothing, fit_low=nothing, fit_high=nothing)
    mean, deviation = posterior(
        seen["step"].to_numpy() / seen["step"][-1],
        seen["train_loss"].to_list(),
        lengthscale=_lengthscale(trace.schedule),
    )
    fit = seen.select(
        "step",
        fit=pl.Series(mean),
        fit_low=pl.Series(mean - 2 * deviation),
        fit_high=pl.Series(mean + 2 * deviation),
    )
    return curve.join(fit, on="step", how="left", maintain_order="left")


def _lengthscale(label: str) -> float:
    """Of the automated warmup that is called so; the default where the name does not tell."""
    try:
        schedule = parse(label)
    except SpecError:
        return AutoWarmup().lengthscale
    return schedule.lengthscale if isinstance(schedule, AutoWarmup) else AutoWarmup().lengthscale
