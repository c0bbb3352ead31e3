"""What a report shows of settings that differ in batch size: two figures a workload, one table."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from robustlr import figures
from robustlr.figures import Looks
from robustlr.measures import Measures
from robustlr.records import Results
from robustlr.report.batch_size_frames import picked_frame, tuned_frame
from robustlr.report.numbers import choices, number, percent
from robustlr.report.pictures import Picture
from robustlr.report.table import Table, bracketed, rows_of


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
