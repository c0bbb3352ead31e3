"""Small results to write and read."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from robustlr.records import CURVE_SCHEMA, RunRecord, RunStatus, RunSummary, WorkloadFacts
from robustlr.schedules import Cosine
from robustlr.specs import SGD, Cell, WorkloadSpec

CELL = Cell(
    workload=WorkloadSpec(kind="digits_mlp"),
    optimizer=SGD(momentum=0.9),
    schedule=Cosine(),
    batch_size=64,
    num_steps=20,
    lr_exponent="-1/2",
    seed=0,
)


def record_of(cell: Cell = CELL, **changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "status": RunStatus.COMPLETED,
        "summary": RunSummary(
            valid_loss=0.5, test_loss=0.6, valid_metric=0.1, test_metric=0.2, steps=20
        ),
        "facts": WorkloadFacts(chance_loss=2.3, metric="error"),
        "outcome": {"switched": 7, "why": "minimum", "share": 0.5, "nothing": None},
        "provenance": {"torch": "2", "device": "somebody's CPU"},
    }
    return RunRecord(cell=cell, **fields | changes)


def curve_of(*, rows: int = 3, telemetry: tuple[str, ...] = ()) -> pl.DataFrame:
    schema = CURVE_SCHEMA | {name: pl.Float64() for name in telemetry}
    values = [
        {"step": 5 * row, "lr": 0.1 / (row + 1), "valid_loss": None if row % 2 else 1.0 / (row + 1)}
        | {name: float(row) for name in telemetry}
        for row in range(rows)
    ]
    return pl.DataFrame(values, schema=schema)


def other(**changes: Any) -> Cell:
    return dataclasses.replace(CELL, **changes)
