"""Many results as two frames: one row per run, and the long table of their curves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import polars as pl

from robustlr.errors import DataError
from robustlr.records.files import CURVE_SCHEMA, UNREADABLE, read_curve, read_result
from robustlr.records.paths import RunPaths
from robustlr.records.record import RunRecord, RunStatus
from robustlr.specs import Cell, StudySpec

RUN_SCHEMA: dict[str, pl.DataType] = {
    "key": pl.String(),
    "setting": pl.String(),
    "workload": pl.String(),
    "optimizer": pl.String(),
    "batch_size": pl.Int64(),
    "num_steps": pl.Int64(),
    "schedule": pl.String(),
    "lr_index": pl.Int64(),
    "peak_lr": pl.Float64(),
    "seed": pl.Int64(),
    "status": pl.String(),
    "valid_loss": pl.Float64(),
    "test_loss": pl.Float64(),
    "valid_metric": pl.Float64(),
    "test_metric": pl.Float64(),
    "best_valid_loss": pl.Float64(),
    "best_test_loss": pl.Float64(),
    "initial_valid_loss": pl.Float64(),
    "initial_test_loss": pl.Float64(),
    "steps": pl.Int64(),
    "example_passes": pl.Float64(),
    "curvature_passes": pl.Float64(),
    "evaluation_passes": pl.Float64(),
    "wall_seconds": pl.Float64(),
    "chance_loss": pl.Float64(),
    "optimum_loss": pl.Float64(),
    "metric": pl.String(),
    "outcome": pl.String(),
}
"""Columns of the run table. `setting` groups what may be compared; `lr_index` is the integer k of
peak_lr = 10^(k/p) on the study's lattice, so that neighbours differ by one and grids of different
schedules align; `outcome` is JSON. Losses are null where they were never finite: measures clip
such runs to `chance_loss`."""

_KEY = pl.col("path").str.extract(r"([^/\\]+)\.parquet$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The results of a study as frames.

    runs: RUN_SCHEMA. curves: CURVE_SCHEMA with `key` in front. points_per_decade: of lr_index.
    missing: cells of the spec without a result. failed: records that FAILED (not in runs).
    damaged: cells whose result file cannot be read (not in runs).
    """

    runs: pl.DataFrame
    curves: pl.DataFrame
    points_per_decade: int
    missing: tuple[Cell, ...] = ()
    failed: tuple[RunRecord, ...] = ()
    damaged: tuple[Cell, ...] = ()


def load_results(paths: RunPaths, spec: StudySpec) -> Results:
    """Read every result the spec asks for. Raises DataError where there is none yet."""
    finished = {path.stem for path in paths.cells.glob("*.parquet")}
    cells = list(spec.cells())
    present = [cell for cell in cells if cell.key in finished]
    missing = [cell for cell in cells if cell.key not in finished]
    if not present:
        raise DataError(f"{paths.root}: no results yet; `robustlr study run` makes them")
    done, failed = [], []
    for cell in present:
        with suppress(DataError):
            record = read_result(paths.cell(cell.key))
            if record.status is RunStatus.FAILED:
                failed.append(record)
            else:
                done.append((cell, record))
    curves, readable = _curves(paths, done)
    done = [(cell, record) for cell, record in done if cell.key in readable]
    sound = readable | {record.cell.key for record in failed}
    return Results(
        runs=run_frame(done),
        curves=curves,
        points_per_decade=_points_per_decade(cell for cell, _ in done),
        missing=tuple(missing),
        failed=tuple(failed),
        damaged=tuple(cell for cell in present if cell.key not in sound),
    )


def run_frame(done: Iterable[tuple[Cell, RunRecord]]) -> pl.DataFrame:
    """RUN_SCHEMA rows; labels are those of the cells given, numbers those of the records."""
    done = list(done)
    per_decade = _points_per_decade(cell for cell, _ in done)
    rows = []
    for cell, record in done:
        summary, facts = record.summary, record.facts
        rows.append(
            {
                "key": cell.key,
                "setting": cell.setting,
                "workload": cell.workload.label,
                "optimizer": cell.optimizer.label,
                "batch_size": cell.batch_size,
                "num_steps": cell.num_steps,
                "schedule": cell.schedule.label,
                "lr_index": int(Fraction(cell.lr_exponent) * per_decade),
                "peak_lr": cell.peak_lr,
                "seed": cell.seed,
                "status": str(record.status),
                **{name: getattr(summary, name) for name in summary.__slots__},
                "chance_loss": facts.chance_loss if facts else None,
                "optimum_loss": facts.optimum_loss if facts else None,
                "metric": facts.metric if facts else None,
                "outcome": json.dumps(dict(record.outcome)),
            }
        )
    return pl.DataFrame(rows, schema=RUN_SCHEMA)


def empty_curves() -> pl.DataFrame:
    """A curve table without rows."""
    return pl.DataFrame(schema={"key": pl.String(), **CURVE_SCHEMA})


def _curves(paths: RunPaths, done: list[tuple[Cell, RunRecord]]) -> tuple[pl.DataFrame, set[str]]:
    """All curves in one read, and the keys of those that can be read; one by one only where a file
    is damaged."""
    if not done:
        return empty_curves(), set()
    longest: dict[str, tuple[int, str]] = {}  # a run ended at once may lack its telemetry
    for cell, record in done:
        candidate = (record.summary.steps, cell.key)
        longest[cell.schedule.label] = max(candidate, longest.get(cell.schedule.label, (-1, "")))
    schema = dict(CURVE_SCHEMA)
    try:
        for _, key in longest.values():
            schema |= pl.read_parquet_schema(paths.cell(key))
        curves = (
            pl.scan_parquet(
                [paths.cell(cell.key) for cell, _ in done],
                schema=schema,
                missing_columns="insert",
                include_file_paths="path",
            )
            .select(_KEY.alias("key"), pl.all().exclude("path"))
            .collect()
        )
    except UNREADABLE:
        return _curves_one_by_one(paths, [cell.key for cell, _ in done])
    return curves, {cell.key for cell, _ in done}


def _curves_one_by_one(paths: RunPaths, keys: Iterable[str]) -> tuple[pl.DataFrame, set[str]]:
    found: dict[str, pl.DataFrame] = {}
    for key in keys:
        with suppress(DataError):
            found[key] = read_curve(paths.cell(key)).select(pl.lit(key).alias("key"), pl.all())
    return pl.concat([empty_curves(), *found.values()], how="diagonal"), set(found)


def _points_per_decade(cells: Iterable[Cell]) -> int:
    return lcm(*{Fraction(cell.lr_exponent).denominator for cell in cells})
