"""Results from elsewhere: a table of W&B, MLflow or a paper becomes the frames of a study.

    schedule,lr,seed,value
    cosine,0.003,0,2.964
    cosine,0.03,0,nan            a run that diverged: NaN, inf or empty

Needed: schedule, lr, seed, value (a loss, lower is better). Optional: step (the rows of a run are
then its curve and the last one its result), split (train, valid, test), seconds, chance (value
of a model that knows nothing), setting or workload (what may be compared). Whatever the table
lacks or holds too much of is said in `Imported.notes`; what cannot be meant is a DataError.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from robustlr.errors import DataError
from robustlr.records.files import CURVE_SCHEMA
from robustlr.records.frames import RUN_SCHEMA, Results, empty_curves
from robustlr.records.import_table import read_import
from robustlr.records.lattice import find_lattice

_RUN = ["setting", "schedule", "lr_index", "seed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """results, and what a reader must know of the table they come from, in sentences."""

    results: Results
    notes: tuple[str, ...]


def import_results(path: Path) -> Imported:
    """Read a CSV (also ; or tab), JSON, JSON Lines or Parquet table.

    Raises DataError naming the column and the line of what cannot be used.
    """
    table, notes = read_import(path)
    placed, per_decade = zip(
        *(_on_lattice(part, notes) for _, part in table.group_by("setting", maintain_order=True)),
        strict=True,
    )
    table = pl.concat(placed)
    _require_distinct(table, path)
    table = _with_validation(table, notes)
    finals, curves = _runs_and_curves(table, notes)
    runs = _run_frame(finals)
    diverged = runs.filter(pl.col("status") == "diverged").height
    if diverged:
        notes.append(f"{diverged} of {runs.height} runs have no finite final value: diverged.")
    if runs["chance_loss"].null_count() == runs.height:
        notes.append("The loss at chance is not given: add a column chance to fix the scale of ε.")
    notes.extend(_raggedness(runs))
    return Imported(
        results=Results(runs=runs, curves=curves, points_per_decade=max(per_decade)),
        notes=tuple(notes),
    )


def _on_lattice(part: pl.DataFrame, notes: list[str]) -> tuple[pl.DataFrame, int]:
    """The rows of one setting with lr_index, and its points per decade."""
    lattice = find_lattice(part["lr"].to_numpy())
    setting = part["setting"][0]
    if not lattice.regular:
        notes.append(
            f"{setting}: the learning rates form no regular logarithmic grid; "
            "coarser grids cannot be compared."
        )
    elif lattice.largest_shift > 1e-3:
        notes.append(
            f"{setting}: learning rates are taken as points of a logarithmic grid of ratio "
            f"{10**lattice.spacing:.3g}; the farthest is off by a factor "
            f"{10**lattice.largest_shift:.2f}."
        )
    part = part.with_columns(lr_index=pl.Series(lattice.index)).with_columns(
        # single precision differs in the eighth digit: one learning rate, one number
        lr=pl.col("lr").first().over("lr_index")
    )
    return part, lattice.points_per_decade


def _require_distinct(table: pl.DataFrame, path: Path) -> None:
    named = [*_RUN, "split"]
    if "step" in table.columns:
        named.append("step")
    twice = table.filter(pl.struct(named).is_duplicated()).sort("row")
    if len(twice):
        first = twice.row(0, named=True)
        same = twice.filter(*(pl.col(name) == first[name] for name in named))
        hint = "" if "step" in table.columns else "; rows of a curve need a column step"
        raise DataError(
            f"{path}: rows {same['row'][0] + 1} and {same['row'][1] + 1} are both "
            f"{first['schedule']} at learning rate {first['lr']:g}, seed {first['seed']}{hint}"
        )


def _with_validation(table: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Leave out, and say so, runs of which no validation value was ever logged."""
    judged = (pl.col("split") == "valid").any().over(_RUN)
    left_out = table.filter(~judged).select(_RUN).unique().height
    if left_out:
        notes.append(f"{left_out} runs have no validation row: left out.")
    return table.filter(judged)


def _runs_and_curves(table: pl.DataFrame, notes: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row per run with its final value per split; and the curves, where there are steps."""
    table = table.with_columns(
        value=pl.when(pl.col("value").is_finite()).then("value"), key=_keys(table)
    )
    for name in ("seconds", "chance"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.Float64()).alias(name))
    if "step" not in table.columns:
        return _last_per_split(table.with_columns(step=pl.lit(0, pl.Int64()))), empty_curves()
    table = table.sort("step", maintain_order=True)
    finals = _last_per_split(table)
    short = finals.filter(
        (pl.col("step") < pl.col("step").max().over("setting")) & pl.col("valid").is_not_null()
    )
    if len(short):
        notes.append(
            f"{len(short)} runs end before the last step of their setting; their last value counts."
        )
    wide = table.pivot(
        "split", index=["key", "step"], values="value", aggregate_function="first"
    ).join(table.group_by("key", "step").agg(pl.col("seconds").max()), on=["key", "step"])
    names = {"train": "train_loss", "valid": "valid_loss", "test": "test_loss"}
    wide = wide.rename({a: b for a, b in names.items() if a in wide.columns})
    curves = wide.sort("key", "step").select(
        "key",
        *(
            (pl.col(name) if name in wide.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in CURVE_SCHEMA.items()
            if name != "wall_seconds"
        ),
        pl.col("seconds").alias("wall_seconds"),
    )
    return finals, curves


def _last_per_split(table: pl.DataFrame) -> pl.DataFrame:
    """Final, best and first value of every run and split, the run's last step and seconds."""
    run = ["key", *_RUN, "lr"]
    of = {name: pl.col("value").filter(pl.col("split") == name) for name in ("valid", "test")}
    return table.group_by(run, maintain_order=True).agg(
        of["valid"].last().alias("valid"),
        of["test"].last().alias("test"),
        of["valid"].min().alias("best_valid"),
        of["test"].min().alias("best_test"),
        of["valid"]
        .filter(pl.col("step").filter(pl.col("split") == "valid") == 0)
        .first()
        .alias("initial_valid"),
        pl.col("step").max(),
        pl.col("seconds").max(),
        pl.col("chance").drop_nulls().first(),
    )


def _run_frame(finals: pl.DataFrame) -> pl.DataFrame:
    stepped = bool(finals["step"].max())
    steps = pl.col("step").max().over("setting") if stepped else pl.lit(None, pl.Int64())
    ours = finals.with_columns(
        workload=pl.col("setting"),
        optimizer=pl.lit("unknown"),
        num_steps=steps,
        peak_lr=pl.col("lr"),
        status=pl.when(pl.col("valid").is_null())
        .then(pl.lit("diverged"))
        .otherwise(pl.lit("completed")),
        valid_loss=pl.col("valid"),
        test_loss=pl.col("test"),
        best_valid_loss=pl.col("best_valid"),
        best_test_loss=pl.col("best_test"),
        initial_valid_loss=pl.col("initial_valid") if stepped else pl.lit(None, pl.Float64()),
        steps=pl.col("step"),
        wall_seconds=pl.col("seconds"),
        chance_loss=pl.col("chance"),
        metric=pl.lit("loss"),
        outcome=pl.lit("{}"),
    )
    return ours.select(
        (pl.col(name) if name in ours.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in RUN_SCHEMA.items()
    )


def _keys(table: pl.DataFrame) -> pl.Series:
    named = table.select(_RUN).unique()
    keys = [
        hashlib.sha256("\x1f".join(map(str, row)).encode()).hexdigest()[:20]
        for row in named.iter_rows()
    ]
    at = named.with_columns(key=pl.Series(keys, dtype=pl.String()))
    return table.select(_RUN).join(at, on=_RUN, how="left", maintain_order="left")["key"]


def _raggedness(runs: pl.DataFrame) -> list[str]:
    """Which schedules lack learning rates that others of the setting have."""
    notes = []
    for (setting,), part in runs.group_by(["setting"], maintain_order=True):
        rates = part["lr_index"].n_unique()
        counts = part.group_by("schedule", maintain_order=True).agg(pl.col("lr_index").n_unique())
        lacking = [f"{name} ({n} of {rates})" for name, n in counts.iter_rows() if n < rates]
        if lacking:
            notes.append(
                f"{setting}: not every schedule has every learning rate: {', '.join(lacking)}."
            )
    return notes
