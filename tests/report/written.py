"""A finished study on disk, made from the synthetic results instead of by training."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from robustlr.records import (
    RunPaths,
    RunRecord,
    RunStatus,
    RunSummary,
    WorkloadFacts,
    write_json,
    write_result,
)
from robustlr.specs import StudySpec
from tests.report.synthetic import CHANCE, VALLEYS, synthetic

TABLE = {
    "name": "tiny",
    "question": "Which one?",
    "seeds": 6,
    "batch_size": 64,
    "num_steps": 400,
    "grid": {"low": 1e-3, "high": 10, "points_per_decade": 2},
    "workload": {"kind": "digits_mlp"},
    "schedule": ["fixed", "cosine"],
}


def write_study(root: Path, *, leave_out: int = 0) -> RunPaths:
    """All cells of TABLE but the last `leave_out`, with curves and provenance."""
    spec = StudySpec.from_table(TABLE)
    results = synthetic(
        {name: VALLEYS[name] for name in ("fixed", "cosine")}, indices=range(-6, 3), per_decade=2
    )
    runs = {
        (row["schedule"], round(row["peak_lr"], 9), row["seed"]): row
        for row in results.runs.iter_rows(named=True)
    }
    paths = RunPaths(root)
    paths.create()
    write_json(paths.spec, spec.table())
    cells = list(spec.cells())
    for cell in cells[: len(cells) - leave_out]:
        row = runs[cell.schedule.label, round(cell.peak_lr, 9), cell.seed]
        record = RunRecord(
            cell=cell,
            status=RunStatus(row["status"]),
            summary=RunSummary(**{name: row[name] for name in RunSummary.__slots__}),
            facts=WorkloadFacts(chance_loss=CHANCE, metric="error"),
            provenance={"device": "a CPU", "git_commit": "abc123"},
        )
        curve = results.curves.filter(pl.col("key") == row["key"]).drop("key")
        write_result(paths.cell(cell.key), record, curve)
    return paths
