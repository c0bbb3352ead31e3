"""`robustlr speedup`: how soon each schedule reaches the target, against the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustlr_cli._arguments import Json, Study
from robustlr_cli._console import note, say, show_json, show_table
from robustlr_cli._measuring import Resamples, measured

if TYPE_CHECKING:
    from robustlr.measures import Measures
    from robustlr.report.setting import Setting

_UNITS = {"updates": "updates", "cost": "example passes", "seconds": "seconds"}
_RHO = (0.1, 0.3, 1.0, 3.0, 10.0)


def speedup(study: Study, resamples: Resamples = 2000, as_json: Json = False) -> None:
    """Time to target in updates, cost and seconds, and its ratio to the baseline's.

    The target is the baseline's median final validation loss at its tuned learning rate, unless
    the study sets report.target. A run that never gets there counts as infinite, and takes part
    in the median. Above 1 is faster than the baseline.

    Example: robustlr speedup digits
    """
    measures, settings = measured(study, resamples=resamples)
    if as_json:
        show_json(
            {
                "speedup": measures.speedup.to_dicts(),
                "score": measures.score.to_dicts(),
            }
        )
        return
    for setting in settings:
        _show(setting)
    if len(settings) > 1:
        _show_score(measures)


def _show(setting: Setting) -> None:
    import polars as pl

    from robustlr.report.numbers import number, percent
    from robustlr.report.table import bracketed

    frame = setting.measures.speedup
    targets = frame["target"].drop_nulls()
    say(setting.name)
    if not len(targets):
        say("There is no target: the baseline has no curve here, or never ends above chance.\n")
        return
    say(f"Target: validation loss {number(targets[0])}\n")
    tuned = frame.filter(pl.col("shift") == 0)
    for unit, label in _UNITS.items():
        if not tuned[unit].count():
            continue
        show_table(
            ["schedule", "hits", f"{label} to target", "speedup"],
            [
                (
                    row["schedule"] + (" (edge)" if row["edge"] else ""),
                    percent(row["hit_rate"]),
                    bracketed(row, unit),
                    bracketed(row, f"speedup_{unit}"),
                )
                for row in tuned.iter_rows(named=True)
            ],
            title=f"Tuned, in {label}; speedup over {setting.report.baseline}",
        )
    _show_misspecified(setting)
    for sentence in setting.notes:
        note(sentence)


def _show_misspecified(setting: Setting) -> None:
    import polars as pl

    from robustlr.report.numbers import number, ratio

    frame = setting.measures.speedup
    shifts = sorted(
        {
            min(zip(frame["shift"], frame["rho"], strict=True), key=lambda p: _apart(p[1], rho))
            for rho in _RHO
        }
    )
    rows = []
    for name in setting.schedules:
        mine = frame.filter(pl.col("schedule") == name)
        by_shift = dict(zip(mine["shift"], mine["speedup_updates"], strict=True))
        rows.append((name, *(number(by_shift.get(shift)) for shift, _ in shifts)))
    show_table(
        ["schedule", *(ratio(rho) for _, rho in shifts)],
        rows,
        title="Speedup in updates at ρ times the schedule's tuned learning rate (0: misses)",
    )


def _show_score(measures: Measures) -> None:
    import polars as pl

    from robustlr.report.table import bracketed

    for unit in _UNITS:
        rows = measures.score.filter(pl.col("unit") == unit)
        if rows["score"].count():
            show_table(
                ["schedule", "settings", "score"],
                [
                    (row["schedule"], row["settings"], bracketed(row, "score"))
                    for row in rows.iter_rows(named=True)
                ],
                title=f"Score over settings, in {unit} (1: always the fastest)",
            )


def _apart(one: float, other: float) -> float:
    """Factor between two positive numbers."""
    return max(one / other, other / one)
