"""`robustlr schedule tabulate`: a run's own learning rates as a schedule, for controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from robustlr_cli._arguments import Json
from robustlr_cli._console import say, show_json


def tabulate(
    result: Annotated[
        Path, typer.Argument(help="Result file of a cell: cells/KEY.parquet in a run's folder.")
    ],
    name: Annotated[str, typer.Option(help="Label of the schedule.")] = "replay",
    mean: Annotated[
        bool, typer.Option("--mean", help="Its mean learning rate instead of its curve.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The learning rates of a run that was made, as a table to paste into a study.

    Whether a schedule that learns from its run owes its success to what it saw, or to the shape of
    its curve alone, shows when another seed replays the curve, or trains at its mean.
    """
    from robustlr.records.tabulate import constant, tabulate_result
    from robustlr.schedules import to_table

    schedule = tabulate_result(result, name=name)
    if mean:
        x, m = schedule.fractions, schedule.multipliers
        area = sum((b - a) * (p + q) / 2 for a, b, p, q in zip(x, x[1:], m, m[1:], strict=False))
        schedule = constant(round(area, 6), name=name)
    table = to_table(schedule)
    if as_json:
        show_json(table)
        return
    say("[[schedule]]")
    for key, value in table.items():  # strings, and lists of numbers: TOML writes them like JSON
        say(f"{key} = {json.dumps(value)}")
