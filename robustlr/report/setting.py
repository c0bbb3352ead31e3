"""One setting's part of the measures, and what the report calls things there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from robustlr.measures import Measures
from robustlr.measures.cube import family
from robustlr.records import Results
from robustlr.report.predictions import Predictions, predictions
from robustlr.specs import ReportSpec

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Measures of one setting, and the words of the report.

    name: the setting's. family: workload, optimizer and batch size (rate and horizon are over
    its horizons). quantity: what `value` is, such as "test loss". metric: the headline metric's
    name, such as "error".
    """

    name: str
    family: str
    quantity: str
    metric: str | None
    report: ReportSpec
    measures: Measures

    def predicted(self, *, rho: tuple[float, float] = (1.0, 100.0)) -> Predictions:
        """The theory's curves over the range rho, and its exponents over the range fitted."""
        ends = self.measures.exponent.select("rho_low", "rho_high").row(0)
        return predictions(self.schedules, rho=rho, fitted=ends)

    @property
    def schedules(self) -> list[str]:
        return self.measures.tuned["schedule"].to_list()

    @property
    def notes(self) -> list[str]:
        return self.measures.notes["note"].to_list()

    def tuned(self, schedule: str) -> Row:
        return self.measures.tuned.row(by_predicate=pl.col("schedule") == schedule, named=True)

    def tolerance(self, schedule: str, reference: str) -> Row:
        return self.measures.tolerance.row(
            by_predicate=(pl.col("schedule") == schedule) & (pl.col("reference") == reference),
            named=True,
        )

    def regret(self, schedule: str, every: int) -> Row:
        return self.measures.regret.row(
            by_predicate=(pl.col("schedule") == schedule) & (pl.col("every") == every),
            named=True,
        )

    def learning_rates(self, schedule: str) -> set[int]:
        """lr_index of the learning rates that the schedule was run at."""
        return set(self.measures.per_lr.filter(pl.col("schedule") == schedule)["lr_index"])

    def against_baseline(self, schedule: str, every: int) -> Row | None:
        rows = self.measures.pairwise.filter(
            (pl.col("schedule") == schedule)
            & (pl.col("other") == self.report.baseline)
            & (pl.col("every") == every)
        )
        return rows.row(0, named=True) if len(rows) else None


def settings_of(results: Results, measures: Measures, report: ReportSpec) -> list[Setting]:
    """One per setting, in the order of the study.

    Rates over horizons belong to several settings; they go to the first of them.
    """
    found: list[Setting] = []
    for name in measures.tuned["setting"].unique(maintain_order=True):
        first = results.runs.filter(pl.col("setting") == name).row(0, named=True)
        own = family(first)
        shown = any(other.family == own for other in found)
        part = _part(measures, name, "" if shown else own)
        found.append(
            Setting(
                name=name,
                family=own,
                quantity=part.tuned["metric"][0],
                metric=first["metric"],
                report=report,
                measures=part,
            )
        )
    return found


def _part(measures: Measures, setting: str, family: str) -> Measures:
    parts = {}
    for field in dataclasses.fields(measures):
        frame: pl.DataFrame = getattr(measures, field.name)
        if field.name in ("rate", "horizon"):
            frame = frame.filter(pl.col("setting") == family)
        elif field.name == "notes":
            frame = frame.filter(pl.col("setting").is_null() | (pl.col("setting") == setting))
        elif "setting" in frame.columns:
            frame = frame.filter(pl.col("setting") == setting)
        parts[field.name] = frame
    return Measures(**parts)
