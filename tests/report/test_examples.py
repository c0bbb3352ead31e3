"""The reports in reports/ say what their runs say: every table is computed again."""

from __future__ import annotations

import json
from math import log10
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from robustlr.measures import measure
from robustlr.records import RUN_SCHEMA, Results, empty_curves
from robustlr.specs import ReportSpec

REPORTS = Path(__file__).parents[2] / "reports"
EXAMPLES = sorted(path.parent for path in REPORTS.glob("*/runs.parquet"))
FROM_RUNS = (
    "tuned", "per_lr", "misspecification", "regret", "tolerance", "pairwise", "sensitivity",
    "exponent",
)  # fmt: skip
"""The tables that need no curves (time to target and convergence do)."""


def test_there_are_examples() -> None:
    assert {"digits", "annealing"} <= {path.name for path in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_tables_are_computed_again(folder: Path) -> None:
    made = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    options = made["options"]
    runs = pl.read_parquet(folder / "runs.parquet")
    assert dict(runs.schema) == RUN_SCHEMA
    again = measure(
        Results(runs=runs, curves=empty_curves(), points_per_decade=_points_per_decade(runs)),
        ReportSpec(baseline=options["baseline"], epsilon=options["epsilon"]),
        on=options["on"],
        resamples=options["resamples"],
        interval=options["interval"],
    )
    for name in FROM_RUNS:
        frame = getattr(again, name)
        committed = pl.read_parquet(folder / "tables" / f"{name}.parquet")
        # the metric's chance is that of the fresh model, the first row of a curve
        kept = [column for column in frame.columns if not column.startswith("test_metric")]
        assert_frame_equal(frame[kept], committed[kept], rel_tol=1e-6, abs_tol=1e-9)


def _points_per_decade(runs: pl.DataFrame) -> int:
    first = runs.filter(pl.col("lr_index") != 0).row(0, named=True)
    return round(first["lr_index"] / log10(first["peak_lr"]))
