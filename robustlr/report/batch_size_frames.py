"""Across settings that differ in batch size: tuned learning rates, and those picked untuned.

    linear_lr(B) = η*(B₀)·B/B₀      linear_value(B) = value(η_j), the |log η_j/linear_lr(B)| least
    picked_lr = lr_max·m

η_j are the learning rates of the grid, and value is the baseline's. η*(B₀) is the baseline's tuned
learning rate at its smallest batch size, and m the multiplier that an automated warmup went back
to. A family is a workload and an optimizer, and the horizon where there are several.
"""

from __future__ import annotations

import json

import polars as pl

from robustlr.measures import Measures
from robustlr.records import Results
from robustlr.report.claim import excluded
from robustlr.report.table import rows_of
from robustlr.schedules.auto_warmup import NEVER_FIRED, NEVER_TESTED

_PARTS = ("workload", "optimizer")
_PLACE = ["workload", "family", "batch_size", "schedule"]
_ROUNDING = 1e-9
_MULTIPLIER, _REASON = "warmup_multiplier", "warmup_reason"


def families(runs: pl.DataFrame) -> pl.DataFrame:
    """setting, workload, family and batch_size of the settings that differ in batch size.

    Several horizons make several families: the shortest of every batch size, the next, ...
    """
    horizons = (
        runs.select("setting", "workload", "optimizer", "batch_size", "num_steps")
        .unique(maintain_order=True)
        .with_columns(horizon=pl.col("num_steps").rank("dense").over(*_PARTS, "batch_size"))
        .filter(pl.col("batch_size").n_unique().over(*_PARTS, "horizon") > 1)
    )
    smallest = pl.col("num_steps").sort_by("batch_size").first()
    budget = (
        pl.when(pl.col("num_steps").n_unique() == 1)
        .then(pl.format("{} updates", smallest))
        .otherwise(pl.format("{} examples", smallest * pl.col("batch_size").min()))
    )
    several = pl.col("horizon").n_unique().over(*_PARTS) > 1
    return horizons.with_columns(
        family=pl.when(several)
        .then(pl.format("{} · {}", "optimizer", budget.over(*_PARTS, "horizon")))
        .otherwise("optimizer")
    ).select("setting", "workload", "family", "batch_size")


def picked_frame(results: Results, measures: Measures) -> pl.DataFrame:
    """What every schedule that picks a learning rate picked, by lr_max (peak_lr).

    picked_lr: median over seeds; _low and _high: lowest and highest seed. never_fired: share
    of the runs whose test never did. value: as in PER_LR_SCHEMA, with its interval.
    """
    outcomes = [json.loads(outcome or "{}") for outcome in results.runs["outcome"]]
    runs = results.runs.with_columns(
        picks=pl.Series([_MULTIPLIER in o for o in outcomes], dtype=pl.Boolean),
        multiplier=pl.Series([o.get(_MULTIPLIER) for o in outcomes], dtype=pl.Float64),
        never_fired=pl.Series(
            [o.get(_REASON) in (NEVER_FIRED, NEVER_TESTED) for o in outcomes], dtype=pl.Boolean
        ),
    ).filter("picks")
    picked = pl.col("peak_lr") * pl.col("multiplier")
    values = measures.per_lr.select(
        "setting", "schedule", "lr_index", "value", "value_low", "value_high"
    )
    return (
        runs.group_by("setting", "schedule", "lr_index", maintain_order=True)
        .agg(
            pl.col("peak_lr").first(),
            picked_lr=picked.median(),
            picked_lr_low=picked.min(),
            picked_lr_high=picked.max(),
            runs=pl.len(),
            never_fired=pl.col("never_fired").mean(),
        )
        .join(values, on=["setting", "schedule", "lr_index"], how="left", maintain_order="left")
        .join(families(results.runs), on="setting", maintain_order="left")
    )


def tuned_frame(results: Results, measures: Measures, *, baseline: str) -> pl.DataFrame:
    """TUNED_SCHEMA of the families, with what linear scaling predicts and what was picked.

    linear_value with its interval: of the baseline, see the top; null outside the grid.
    picked_lr, untuned_value: at the largest lr_max. never_fired: share over all lr_max.
    """
    tuned = measures.tuned.join(families(results.runs), on="setting", maintain_order="left")
    tuned = tuned.join(_linear(tuned, baseline), on=_PLACE[:3], how="left", maintain_order="left")
    at_linear = _at_linear(tuned, measures.per_lr, baseline)
    tuned = tuned.join(at_linear, on="setting", how="left", maintain_order="left")
    picked = picked_frame(results, measures)
    largest = picked.group_by(_PLACE).agg(
        pl.col("picked_lr").sort_by("peak_lr").last(),
        untuned_value=pl.col("value").sort_by("peak_lr").last(),
        never_fired=(pl.col("never_fired") * pl.col("runs")).sum() / pl.col("runs").sum(),
    )
    return tuned.join(largest, on=_PLACE, how="left", maintain_order="left")


def _linear(tuned: pl.DataFrame, baseline: str) -> pl.DataFrame:
    """linear_lr by workload, family and batch size; null where the baseline supports no claim."""
    first = (
        tuned.filter(pl.col("schedule") == baseline)
        .sort("batch_size")
        .unique(_PLACE[:2], keep="first", maintain_order=True)
    )
    rows = [
        (*(row[name] for name in _PLACE[:2]), row["peak_lr"] / row["batch_size"])
        for row in rows_of(first)
        if not excluded(row)
    ]
    slope = pl.DataFrame(
        rows, schema={"workload": pl.String, "family": pl.String, "slope": pl.Float64}, orient="row"
    )
    return (
        tuned.select(_PLACE[:3])
        .unique()
        .join(slope, on=_PLACE[:2])
        .select(*_PLACE[:3], linear_lr=pl.col("slope") * pl.col("batch_size"))
    )


def _at_linear(tuned: pl.DataFrame, per_lr: pl.DataFrame, baseline: str) -> pl.DataFrame:
    """linear_value by setting, where the grid reaches linear_lr up to rounding."""
    linear, peak = pl.col("linear_lr"), pl.col("peak_lr")
    grid = per_lr.filter(pl.col("schedule") == baseline).select(
        "setting",
        "peak_lr",
        linear_value="value",
        linear_value_low="value_low",
        linear_value_high="value_high",
    )
    return (
        tuned.select("setting", "linear_lr")
        .unique()
        .drop_nulls()
        .join(grid, on="setting")
        .filter(
            linear >= peak.min().over("setting") * (1.0 - _ROUNDING),
            linear <= peak.max().over("setting") * (1.0 + _ROUNDING),
        )
        .sort((peak / linear).log().abs(), peak)
        .unique("setting", keep="first", maintain_order=True)
        .drop("linear_lr", "peak_lr")
    )
