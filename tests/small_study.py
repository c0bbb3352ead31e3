"""A study that trains in moments, for the tests of everything around the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from robustlr.records import RunPaths, RunRecord, RunStatus, RunSummary, WorkloadFacts
from robustlr.specs import Cell, StudySpec

TOML = """\
question = "Does it run?"
seeds = {seeds}
batch_size = 8
num_steps = {num_steps}
schedule = ["fixed", "cosine"]

[grid]
low = 0.1
high = {high}
points_per_decade = 1

[workload]
{workload}

[training]
eval_every = 10

{more}
"""
LOGISTIC = 'kind = "logistic"\ndim = 3\nsamples = 60'


def write_study(folder: Path, **fields: Any) -> Path:
    """A study file small.toml in `folder`; fields replace those of the template."""
    values = {"seeds": 2, "num_steps": 20, "high": 1.0, "workload": LOGISTIC, "more": ""} | fields
    path = folder / "small.toml"
    path.write_text(TOML.format(**values), encoding="utf-8")
    return path


def small_spec(**edits: Any) -> StudySpec:
    """The same study as a spec: 2 schedules × 2 learning rates × 2 seeds = 8 cells."""
    return StudySpec.from_table(
        {
            "name": "small",
            "workload": {"kind": "logistic", "dim": 3, "samples": 60},
            "schedule": ["fixed", "cosine"],
            "grid": {"low": 0.1, "high": 1.0, "points_per_decade": 1},
            "seeds": 2,
            "batch_size": 8,
            "num_steps": 20,
        }
        | edits
    )


def record_of(cell: Cell, status: RunStatus = RunStatus.COMPLETED) -> RunRecord:
    """A made-up result of a cell; its value is a function of the cell alone."""
    return RunRecord(
        cell=cell,
        status=status,
        summary=RunSummary(valid_loss=cell.peak_lr + cell.seed, steps=cell.num_steps),
        facts=WorkloadFacts(chance_loss=9.0),
    )


def runner(on_cell: Callable[[Cell], None] = lambda cell: None) -> Any:
    """A stand-in for training that answers at once: the queue is what is tested."""

    def run(cell: Cell) -> tuple[RunRecord, pl.DataFrame]:
        on_cell(cell)
        return record_of(cell), pl.DataFrame({"step": [cell.num_steps]})

    return run


def result_files(paths: RunPaths) -> set[str]:
    return {path.stem for path in paths.cells.glob("*.parquet")}
