"""Options and the one call that `compare`, `speedup` and `report` share."""

from __future__ import annotations

import dataclasses
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr_cli._arguments import locate
from robustlr_cli._console import note

if TYPE_CHECKING:
    from robustlr.measures import Measures
    from robustlr.records import Results, RunPaths
    from robustlr.report.setting import Setting
    from robustlr.specs import StudySpec


class On(StrEnum):
    """What is reported; learning rates are always chosen by the validation loss."""

    LOSS = "loss"
    METRIC = "metric"


Quantity = Annotated[On, typer.Option(help="Report the test loss or the test metric.")]
Resamples = Annotated[int, typer.Option(min=0, max=100_000, help="Bootstrap resamples over seeds.")]


def results_of(study: str, spec: StudySpec, paths: RunPaths) -> Results:
    """The results that a spec asks for; says how many are damaged. `study`: as the user typed it.

    Raises StudyConflictError where an edit disowns them.
    """
    from robustlr.records import load_results
    from robustlr.report.numbers import plural
    from robustlr.study import check_edits

    check_edits(spec, paths)
    results = load_results(paths, spec)
    if count := len(results.damaged):
        what = plural(count, "damaged result is", "damaged results are")
        note(f"{what} left out; `robustlr study run {shlex.quote(study)}` mends that")
    return results


def measured(
    study: str,
    *,
    on: On = On.LOSS,
    resamples: int,
    epsilon: float | None = None,
    cross_fit: bool = False,
) -> tuple[Measures, list[Setting]]:
    """All measures of a study's results, whole and by setting; says what is missing."""
    from robustlr.measures import measure
    from robustlr.report.setting import settings_of

    spec, paths = locate(study, pull=True)
    results = results_of(study, spec, paths)
    report = spec.report
    if epsilon is not None:
        report = dataclasses.replace(report, epsilon=epsilon)
    measures = measure(results, report, on=on.value, resamples=resamples, cross_fit=cross_fit)
    if results.missing:
        note(f"{len(results.missing)} cells have not been run yet; `robustlr study run` does")
    if results.failed:
        note(f"{len(results.failed)} cells failed and are left out")
    return measures, settings_of(results, measures, report)
