"""`robustlr compare`: schedules across grid resolutions, in the terminal."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr_cli._arguments import Json, Study
from robustlr_cli._console import note, say, show_json, show_table
from robustlr_cli._measuring import On, Quantity, Resamples, measured

if TYPE_CHECKING:
    from robustlr.report.setting import Setting


def compare(
    study: Study,
    on: Quantity = On.LOSS,
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Tolerated loss, as a share of chance − best. [default: the study's]",
            show_default=False,
        ),
    ] = None,
    cross_fit: Annotated[
        bool, typer.Option("--cross-fit", help="Choose on half of the seeds, report on the other.")
    ] = False,
    resamples: Resamples = 2000,
    as_json: Json = False,
) -> None:
    """Compare schedules across grid resolutions: what a coarser grid costs, and who wins there.

    For every resolution: regret against the schedule's own tuned value, mean and worst over where
    the grid falls, with 95 % intervals over seeds; then the coarsest grid each schedule tolerates
    and the runs that saves over the baseline.

    Example: robustlr compare digits --epsilon 0.02
    """
    from robustlr.report.answer import answer

    _, settings = measured(study, on=on, resamples=resamples, epsilon=epsilon, cross_fit=cross_fit)
    if as_json:
        show_json([_table(setting) for setting in settings])
        return
    for setting in settings:
        given = answer(setting)
        say(f"{setting.name}: {setting.quantity}")
        say(fill(given.headline, 80) + "\n")
        say(
            "Regret: what a coarser grid costs against the schedule's own tuned value;\n"
            f"wins: pairs of runs with the same seed in which it beats {setting.report.baseline}.\n"
        )
        _show_resolutions(setting)
        for reference in ("own", "best"):
            _show_tolerance(setting, reference)
        for sentence in given.caveats:
            note(sentence)


def _table(setting: Setting) -> dict[str, object]:
    from robustlr.report.answer import answer

    given, measures = answer(setting), setting.measures
    return {
        "setting": setting.name,
        "quantity": setting.quantity,
        "answer": given.headline,
        "winner": given.winner,
        "supported": given.supported,
        "caveats": list(given.caveats),
        "regret": measures.regret.drop("setting").to_dicts(),
        "tolerance": measures.tolerance.drop("setting").to_dicts(),
        "pairwise": measures.pairwise.drop("setting").to_dicts(),
    }


def _show_resolutions(setting: Setting) -> None:
    from robustlr.report.grid_tables import shown_resolutions
    from robustlr.report.numbers import ABSENT, listed, percent, plural, ratio
    from robustlr.report.table import bracketed

    for every in shown_resolutions(setting.measures.regret):
        rows = [setting.regret(name, every) for name in setting.schedules]
        best = [
            f"{row['schedule']}"
            + (f" (in {percent(row['winner_share'])} of resamples)" if row["winner_share"] else "")
            for row in rows
            if row["winner"]
        ]
        pairs = [setting.against_baseline(name, every) for name in setting.schedules]
        title = (
            f"{ratio(rows[0]['resolution'])} grid, {plural(int(rows[0]['runs']), 'run')} per seed"
            + (f": best {listed(best)}" if best else "")
        )
        show_table(
            ["schedule", "mean regret", "worst regret", "wins"],
            [
                (
                    row["schedule"],
                    bracketed(row, "regret_mean"),
                    bracketed(row, "regret_worst"),
                    percent(pair["probability"]) if pair else ABSENT,
                )
                for row, pair in zip(rows, pairs, strict=True)
            ],
            title=title,
        )


def _show_tolerance(setting: Setting, reference: str) -> None:
    from robustlr.report.numbers import number, percent, ratio_interval
    from robustlr.report.table import bracketed

    whose = {"own": "its own tuned value", "best": "the best schedule's tuned value"}[reference]
    rows = [setting.tolerance(name, reference) for name in setting.schedules]
    show_table(
        ["schedule", "coarsest grid", "runs", "saved", "loses"],
        [
            (
                row["schedule"] + (" (edge)" if row["edge"] else ""),
                ratio_interval(row["resolution"], row["resolution_low"], row["resolution_high"]),
                bracketed(row, "runs"),
                bracketed(row, "runs_saved"),
                number(row["loses_at_most"]),
            )
            for row in rows
        ],
        title=(
            f"Within {percent(setting.report.epsilon)} of {whose}; "
            f"runs saved against {setting.report.baseline}, per seed"
        ),
    )
