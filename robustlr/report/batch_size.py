"""Across settings that differ in batch size: tuned learning rates, and those picked untuned.

    linear_lr(B) = η*(B₀)·B/B₀      picked_lr = lr_max·m

η*(B₀) is the baseline's tuned learning rate at its smallest batch size, and m the multiplier that
an automated warmup went back to. A family is a workload and an optimizer, and the horizon where
there are several.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import polars as pl

from robustlr import figures
from robustlr.figures import Looks
from robustlr.measures import Measures
from robustlr.records import Results
from robustlr.report.claim import excluded
from robustlr.report.numbers import choices, number, percent
from robustlr.report.pictures import Picture
from robustlr.report.table import Table, bracketed, rows_of
from robustlr.schedules.auto_warmup import NEVER_FIRED, NEVER_TESTED

_PLACE = ("workload", "family", "batch_size", "schedule")
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


_PARTS = ("workload", "optimizer")


def picked_frame(results: Results, measures: Measures) -> pl.DataFrame:
    """What every schedule that picks a learning rate picked, by lr_max (peak_lr).

    picked_lr: median over seeds; _low and _high: lowest and highest seed. fired: share of the
    runs whose test fired. value: as in PER_LR_SCHEMA, with its interval.
    """
    outcomes = [json.loads(outcome or "{}") for outcome in results.runs["outcome"]]
    runs = results.runs.with_columns(
        picks=pl.Series([_MULTIPLIER in o for o in outcomes], dtype=pl.Boolean),
        multiplier=pl.Series([o.get(_MULTIPLIER) for o in outcomes], dtype=pl.Float64),
        fired=pl.Series(
            [o.get(_REASON) not in (None, NEVER_FIRED, NEVER_TESTED) for o in outcomes],
            dtype=pl.Boolean,
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
            fired=pl.col("fired").mean(),
        )
        .join(values, on=["setting", "schedule", "lr_index"], how="left", maintain_order="left")
        .join(families(results.runs), on="setting", maintain_order="left")
        .sort("workload", "family", "schedule", "batch_size", "peak_lr", maintain_order=True)
    )


def tuned_frame(results: Results, measures: Measures, *, baseline: str) -> pl.DataFrame:
    """TUNED_SCHEMA of the families, with what linear scaling predicts and what was picked.

    picked_lr, untuned_value: at the largest lr_max. never_fired: share over all lr_max.
    """
    tuned = measures.tuned.join(families(results.runs), on="setting", maintain_order="left")
    tuned = tuned.join(_linear(tuned, baseline), on=list(_PLACE[:3]), how="left")
    picked = picked_frame(results, measures)
    largest = picked.group_by(*_PLACE).agg(
        pl.col("picked_lr").sort_by("peak_lr").last(),
        untuned_value=pl.col("value").sort_by("peak_lr").last(),
        never_fired=1 - (pl.col("fired") * pl.col("runs")).sum() / pl.col("runs").sum(),
    )
    return tuned.join(largest, on=list(_PLACE), how="left", maintain_order="left")
