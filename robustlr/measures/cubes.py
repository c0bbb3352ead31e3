"""Run frames become cubes: what is missing, doubtful or worse than chance is settled and noted."""

from __future__ import annotations

from functools import reduce
from math import gcd

import numpy as np
import polars as pl
from numpy.typing import NDArray

from robustlr.errors import DataError
from robustlr.measures.cube import (
    BoolArray,
    Cube,
    FloatArray,
    IntArray,
    Quantity,
    family,
    floats,
)
from robustlr.records import Results

_LEAST_FILL = 0.5  # of the lattice's points: below it the learning rates form no regular grid


def build_cubes(results: Results, *, on: Quantity = "loss") -> list[Cube]:
    """One cube per setting, in the order of the run frame; all share the axis of seeds.

    on: what is reported, the test loss or the test metric (validation where there is no test).
    Raises DataError for duplicated runs and for learning rates that are not positive.
    """
    runs = results.runs
    _require_sound(runs)
    seeds = np.sort(runs["seed"].unique().to_numpy())
    runs = runs.with_row_index("row").join(
        _initial_metrics(results.curves), on="key", how="left", maintain_order="left"
    )
    settings = runs.partition_by("setting", maintain_order=True)
    return [_build(part, seeds, on, len(runs)) for part in settings]


def _require_sound(runs: pl.DataFrame) -> None:
    if runs.is_empty():
        raise DataError("no runs to measure: every cell is missing, failed or damaged")
    named = ["setting", "schedule", "lr_index", "seed"]
    for name in [*named, "peak_lr"]:
        if runs[name].null_count():
            raise DataError(f"a run has no {name}")
    twice = runs.group_by(named, maintain_order=True).agg(pl.len(), pl.col("peak_lr").first())
    twice = twice.filter(pl.col("len") > 1)
    if len(twice):
        first = twice.row(0, named=True)
        more = f" (and {len(twice) - 1} more such)" if len(twice) > 1 else ""
        raise DataError(
            f"{first['setting']}: {first['len']} runs of {first['schedule']} at learning rate "
            f"{first['peak_lr']:g}, seed {first['seed']}{more}; keep one of them"
        )
    if not ((runs["peak_lr"] > 0) & runs["peak_lr"].is_finite()).all():
        raise DataError("a run's peak_lr is not a positive number")


def _initial_metrics(curves: pl.DataFrame) -> pl.DataFrame:
    """Metrics of the fresh model, by key."""
    first = curves.lazy().filter(pl.col("step") == 0)
    names = ("test_metric", "valid_metric")
    return first.select("key", **{f"initial_{n}": n for n in names}).unique("key").collect()


def _build(part: pl.DataFrame, seeds: IntArray, on: Quantity, total: int) -> Cube:
    notes: list[str] = []
    schedules = tuple(part["schedule"].unique(maintain_order=True))
    lr_index, regular = _lattice(part["lr_index"].unique().sort().to_numpy())
    log_lr = _log_lr(part, lr_index)
    if not regular:
        notes.append(
            "the learning rates form no regular grid: resolutions are by rank, "
            "and their ratios a geometric mean"
        )
    row = np.full((len(schedules), len(lr_index), len(seeds)), -1, dtype=np.int64)
    position = {label: i for i, label in enumerate(schedules)}
    row[
        part["schedule"].replace_strict(position, return_dtype=pl.Int64).to_numpy(),
        np.searchsorted(lr_index, part["lr_index"].to_numpy()),
        np.searchsorted(seeds, part["seed"].to_numpy()),
    ] = part["row"].to_numpy()

    def scatter(per_run: NDArray[np.generic]) -> FloatArray:
        values = np.full(total, np.nan)
        values[part["row"].to_numpy()] = per_run
        return np.where(row >= 0, values[row], np.nan)

    loss = floats(part["valid_loss"])
    diverged = (part["status"] == "diverged").to_numpy() | ~np.isfinite(loss)
    split = _split(part, diverged, "test_loss", "loss", notes)
    chance_loss = _chance_loss(part, loss, notes)
    metric_split = _split(part, diverged, "test_metric", "metric", notes if on == "metric" else [])
    metric = np.where(diverged, np.nan, floats(part[f"{metric_split}_metric"]))
    initial_metric = floats(part[f"initial_{metric_split}_metric"])
    chance_metric = _first_finite(_middle(initial_metric), _worst(metric))
    if on == "loss":
        chance, initial = chance_loss, floats(part[f"initial_{split}_loss"])
        raw = np.where(diverged, np.nan, floats(part[f"{split}_loss"]))
    else:
        chance, initial, raw = chance_metric, initial_metric, metric
    _note_clipping(raw, diverged, chance, on, notes)
    optimum = _middle(floats(part["optimum_loss"])) if on == "loss" else np.nan
    select = scatter(_clipped(np.where(diverged, np.nan, loss), chance_loss))
    first = part.row(0, named=True)
    return Cube(
        setting=first["setting"],
        family=family(first),
        num_steps=first["num_steps"] or 0,
        metric=f"{split} loss" if on == "loss" else f"{metric_split} {first['metric'] or 'metric'}",
        schedules=schedules,
        lr_index=lr_index,
        log_lr=log_lr,
        ratio=float(10.0 ** np.mean(np.diff(log_lr))) if len(log_lr) > 1 else np.nan,
        regular=regular,
        row=row,
        diverged=scatter(diverged) == 1.0,
        select=select,
        report=scatter(_clipped(raw, chance)),
        raw=scatter(raw),
        initial=scatter(np.where(np.isfinite(initial), initial, chance)),
        metric_value=scatter(_clipped(metric, chance_metric)),
        at_chance=np.nanmin(select, axis=(1, 2)) >= chance_loss,
        chance_loss=chance_loss,
        chance=chance,
        optimum=optimum,
        notes=tuple(notes),
    )


def _lattice(indices: IntArray) -> tuple[IntArray, bool]:
    """The columns, and whether they are evenly spaced; holes in a regular grid are columns too."""
    step = reduce(gcd, np.diff(indices).tolist(), 0) or 1
    full = np.arange(indices[0], indices[-1] + 1, step)
    if len(indices) >= _LEAST_FILL * len(full):
        return full, True
    return indices, False


def _log_lr(part: pl.DataFrame, lr_index: IntArray) -> FloatArray:
    known = part.group_by("lr_index").agg(pl.col("peak_lr").log10().median()).sort("lr_index")
    log_lr = np.interp(lr_index, known["lr_index"].to_numpy(), known["peak_lr"].to_numpy())
    if (np.diff(log_lr) <= 0).any():
        raise DataError(f"{part['setting'][0]}: peak_lr does not grow with lr_index")
    return np.asarray(log_lr)


def _split(
    part: pl.DataFrame, diverged: BoolArray, column: str, name: str, notes: list[str]
) -> str:
    """The split that is reported: "test", or "valid" where nothing was tested."""
    if np.isfinite(floats(part[column])[~diverged]).any() or diverged.all():
        return "test"
    notes.append(f"there is no test {name}: values are those of the validation split")
    return "valid"


def _chance_loss(part: pl.DataFrame, loss: FloatArray, notes: list[str]) -> float:
    known = _middle(floats(part["chance_loss"]))
    if np.isfinite(known):
        return known
    initial = _middle(floats(part["initial_valid_loss"]))
    if np.isfinite(initial):
        notes.append("the loss at chance is not known: that of the fresh model stands for it")
        return initial
    notes.append("the loss at chance is not known: the worst final loss stands for it")
    return _first_finite(_worst(loss), 0.0)


def _note_clipping(
    raw: FloatArray, diverged: BoolArray, chance: float, on: Quantity, notes: list[str]
) -> None:
    if missing := int((~np.isfinite(raw) & ~diverged).sum()):
        notes.append(f"{missing} finished runs have no {on} to report: they count as chance")
    if above := int((raw > chance).sum()):
        runs = "run" if above == 1 else "runs"
        notes.append(f"{above} {runs} ended worse than chance ({chance:.4g}): clipped to it")


def _clipped(values: FloatArray, chance: float) -> FloatArray:
    return np.where(np.isfinite(values), np.minimum(values, chance), chance)


def _middle(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def _worst(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else np.nan


def _first_finite(first: float, second: float) -> float:
    return first if np.isfinite(first) else second
