"""The curves behind the pictures of training: those of runs at the tuned learning rate."""

from __future__ import annotations

import polars as pl

from robustlr.records import Results

_CURVATURE = "curvature_trace"
_WARMUP = "warmup_loss_mean"


def tuned_runs(results: Results, setting: str, tuned: pl.DataFrame) -> pl.DataFrame:
    """key, schedule and seed of the runs of one setting at each schedule's tuned lr."""
    return (
        results.runs.filter(pl.col("setting") == setting)
        .join(tuned.select("schedule", "lr_index"), on=["schedule", "lr_index"])
        .select("key", "schedule", "seed")
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


def adaptive_runs(results: Results, runs: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """By schedule with telemetry of the curvature: the curve of its first seed's run."""
    if _CURVATURE not in results.curves.columns:
        return {}
    first = runs.sort("seed").unique("schedule", keep="first", maintain_order=True)
    found = {}
    for key, schedule in first.select("key", "schedule").iter_rows():
        curve = results.curves.filter(pl.col("key") == key)
        if curve[_CURVATURE].count():
            found[schedule] = curve.sort("step")
    return found
