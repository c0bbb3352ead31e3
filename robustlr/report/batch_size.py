"""Across settings that differ in batch size: tuned learning rates, and those picked untuned.

    linear_lr(B) = η*(B₀)·B/B₀      linear_value(B) = value(η_j), the |log η_j/linear_lr(B)| least
    picked_lr = lr_max·m

η_j are the learning rates of the grid, and value is the baseline's. η*(B₀) is the baseline's tuned
learning rate at its smallest batch size, and m the multiplier that an automated warmup went back
to. A family is a workload and an optimizer, and the horizon where there are several.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

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


def batch_size_pictures(
    results: Results, measures: Measures, looks: Looks, *, baseline: str
) -> Iterator[Picture]:
    """Two figures per workload with several batch sizes; the second where something was picked."""
    tuned = tuned_frame(results, measures, baseline=baseline)
    picked = picked_frame(results, measures)
    workloads = tuned["workload"].unique(maintain_order=True).to_list()
    for position, workload in enumerate(workloads, start=1):
        several = len(workloads) > 1
        suffix, of = (f"-{position}", f": {workload}") if several else ("", "")
        points = tuned.filter(pl.col("workload") == workload)
        traced = picked.filter(pl.col("workload") == workload, pl.col("picked_lr").is_not_null())
        quantity = points["metric"][0]
        yield Picture(
            key=f"batch-size{suffix}",
            title=f"Tuned learning rate and {quantity} against batch size{of}",
            explanation=(
                "Left the tuned peak learning rate (lr_max for a schedule that picks its own) and "
                f"the range that resampled seeds choose, right the {quantity} there with its 95 % "
                "interval; hollow marks lie at an edge of the grid and support no claim. "
                + (
                    f"Dotted, linear scaling from {baseline} at its smallest batch size"
                    if points["linear_lr"].count()
                    else f"No linear scaling is drawn: {baseline} has no tuned learning rate off "
                    "the edge at its smallest batch size"
                )
                + (
                    "; a star is what a schedule picked without tuning, under the largest lr_max "
                    "of the grid (median over seeds), and what that came to."
                    if points["picked_lr"].count()
                    else "."
                )
            ),
            draw=lambda points=points, quantity=quantity: figures.tuned_against_batch_size(  # type: ignore[misc]
                points, looks, quantity=quantity
            ),
        )
        if traced["peak_lr"].n_unique() < 2:
            continue
        yield Picture(
            key=f"picked{suffix}",
            title=f"What is picked without tuning, against lr_max{of}",
            explanation=(
                "Left the learning rate picked (median over seeds, bars from the lowest to the "
                f"highest), right the {quantity} it came to with its 95 % interval. Flat lines "
                "mean that lr_max does not matter; on the dotted line the warmup ran on to lr_max, "
                "as it should where the best learning rate lies above, and where it lies below the "
                "test missed it."
            ),
            draw=lambda traced=traced, quantity=quantity: figures.picked_against_highest(  # type: ignore[misc]
                traced, looks, quantity=quantity
            ),
        )


def batch_size_tables(results: Results, measures: Measures, *, baseline: str) -> list[Table]:
    """The numbers of the first figure, one row per family, schedule and batch size, if any."""
    tuned = tuned_frame(results, measures, baseline=baseline)
    if not len(tuned):
        return []
    several = tuned["workload"].n_unique() > 1
    picks = tuned["never_fired"].count() > 0
    parts = tuned.partition_by("workload", "family", "schedule", maintain_order=True)
    return [
        Table(
            key="batch_size",
            title="Over batch sizes",
            explanation=(
                f"Linear scaling: from {baseline}, tuned at its smallest batch size, and what "
                f"{baseline} comes to at the grid's learning rate nearest to that. "
                + (
                    "Picked: without tuning, median over seeds at the largest lr_max, and what "
                    "that came to; never fired: share of the runs over all lr_max whose warmup "
                    "went on to its end without finding a minimum. "
                    if picks
                    else ""
                )
                + "An optimum at an edge of the grid supports no claim."
            ),
            columns=(
                "optimizer",
                "schedule",
                "batch size",
                "tuned peak",
                "linear scaling",
                "scaled, it came to",
                " or ".join(tuned["metric"].unique(maintain_order=True)),
                *(("picked", "came to", "never fired") if picks else ()),
                "remark",
            ),
            rows=tuple(
                (
                    f"{row['workload']} · {row['family']}" if several else row["family"],
                    row["schedule"],
                    str(row["batch_size"]),
                    choices(row["peak_lr"], row["peak_lr_low"], row["peak_lr_high"]),
                    number(row["linear_lr"]),
                    bracketed(row, "linear_value"),
                    bracketed(row, "value"),
                    *(
                        (
                            number(row["picked_lr"]),
                            number(row["untuned_value"]),
                            percent(row["never_fired"]),
                        )
                        if picks
                        else ()
                    ),
                    "at an edge" if row["edge"] else "",
                )
                for part in parts
                for row in rows_of(part.sort("batch_size"))
            ),
        )
    ]


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
