"""The table that results from elsewhere come in: its columns, their other names, their types."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from robustlr.errors import DataError, did_you_mean
from robustlr.records.tables import Column, read_table, typed

_NEEDED = ("schedule", "lr", "seed", "value")
_COLUMNS = {
    "schedule": Column(pl.String()),
    "lr": Column(pl.Float64(), bound="positive", finite=True),
    "seed": Column(pl.Int64(), bound="zero or more"),
    "value": Column(pl.Float64(), empty=True),
    "step": Column(pl.Int64(), bound="zero or more"),
    "split": Column(pl.String(), empty=True),
    "seconds": Column(pl.Float64(), bound="zero or more", finite=True, empty=True),
    "chance": Column(pl.Float64(), finite=True, empty=True),
    "setting": Column(pl.String()),
    "workload": Column(pl.String()),
}
_ALIASES = {"peak_lr": "lr", "learning_rate": "lr"}
_SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "eval": "valid",
    "test": "test",
    "": "valid",
}


def read_import(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """The table with every known column typed, `setting` and `split` filled in and `row` counted.

    And notes: what a reader must know of it, in sentences. Raises DataError.
    """
    raw = read_table(path)
    raw = raw.rename({a: b for a, b in _ALIASES.items() if a in raw.columns})
    missing = [name for name in _NEEDED if name not in raw.columns]
    if missing:
        raise DataError(
            f"{path}: has no column {' and no column '.join(missing)}; a table of results needs "
            f"{', '.join(_NEEDED)} ({did_you_mean(missing[0], raw.columns)})"
        )
    if raw.is_empty():
        raise DataError(f"{path}: has a header but no rows")
    known = [name for name in _COLUMNS if name in raw.columns]
    notes = []
    ignored = [name for name in raw.columns if name not in known]
    if ignored:
        notes.append("Columns that were not used: " + ", ".join(ignored) + ".")
    table = raw.select(
        pl.int_range(pl.len()).alias("row"),
        *(typed(raw[name], _COLUMNS[name], path) for name in known),
    )
    parts = [name for name in ("setting", "workload") if name in known]
    setting = pl.concat_str(parts, separator=" · ") if parts else pl.lit("imported")
    table = table.with_columns(setting=setting)
    if "split" not in known:
        table = table.with_columns(split=pl.lit("valid"))
        notes.append(
            "No column split: learning rates are chosen by the very values that are reported."
        )
        return table, notes
    split = table["split"].fill_null("").str.to_lowercase()
    unknown = sorted(set(split) - set(_SPLITS))
    if unknown:
        raise DataError(f"{path}: split '{unknown[0]}' is none of train, valid, test")
    table = table.with_columns(split=split.replace_strict(_SPLITS))
    if not (table["split"] == "valid").any():
        only = "test" if (table["split"] == "test").any() else "train"
        notes.append(f"No validation values: learning rates are chosen on {only}, too hopeful.")
        copy = table.filter(pl.col("split") == only).with_columns(split=pl.lit("valid"))
        table = pl.concat([table, copy])
    return table, notes
