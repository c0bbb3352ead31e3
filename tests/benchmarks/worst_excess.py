"""The worst excess over a range of learning rates, the range placed as each schedule likes best.

    python tests/benchmarks/worst_excess.py reports/annealing/runs.parquet [WIDTH]

What `robustlr theory design --rho WIDTH` minimises in the bound, measured: for every setting and
schedule the least, over windows of learning rates WIDTH wide, of the largest mean excess inside.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def worst_excess(runs: pl.DataFrame, width: float) -> pl.DataFrame:
    """setting, schedule, worst_excess; runs: a run table whose optimum is known."""
    by = ["setting", "schedule"]
    curves = (
        runs.with_columns(excess=pl.col("test_loss") - pl.col("optimum_loss"))
        .group_by(*by, "lr_index", maintain_order=True)
        .agg(pl.mean("excess"), pl.first("peak_lr"))
        .sort("lr_index")
    )
    rows = []
    for (setting, schedule), curve in curves.group_by(by, maintain_order=True):
        lr, excess = curve["peak_lr"].to_list(), curve["excess"].to_list()
        worst = [
            max(
                e
                for e, other in zip(excess, lr, strict=True)
                if low <= other <= 1.001 * width * low
            )
            for low in lr
            if width * low <= 1.001 * lr[-1]
        ]
        rows.append((setting, schedule, min(worst)))
    return pl.DataFrame(rows, schema=[*by, "worst_excess"], orient="row").sort(
        "setting", "worst_excess"
    )


if __name__ == "__main__":
    table = worst_excess(pl.read_parquet(Path(sys.argv[1])), float((*sys.argv, "100")[2]))
    for (setting,), part in table.group_by(["setting"], maintain_order=True):
        print(setting)
        for _, schedule, value in part.rows():
            print(f"  {schedule:24} {value:.2g}")
