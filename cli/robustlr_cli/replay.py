"""`robustlr schedule replay`: what a schedule would have done on a recorded loss curve."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr.errors import DataError, SpecError
from robustlr_cli._arguments import Json
from robustlr_cli._console import note, say, show_facts, show_json, show_table

if TYPE_CHECKING:
    import polars as pl

    from robustlr.schedules.replay import Replay

_BAR = 40


def replay(
    kind: Annotated[
        str, typer.Option(help="A schedule, such as auto_warmup or auto_warmup:votes=3.")
    ],
    losses: Annotated[
        Path, typer.Option(help="CSV with a column loss, one row per update; maybe trace too.")
    ],
    num_steps: Annotated[int, typer.Option(min=1, help="The horizon T in updates.")],
    test_every: Annotated[
        int | None,
        typer.Option(min=1, help="Updates between tests of auto_warmup. [default: its own]"),
    ] = None,
    peak_lr: Annotated[float, typer.Option(help="The learning rate at multiplier 1.")] = 1.0,
    rows: Annotated[int, typer.Option(min=2, help="How many steps of the curve to show.")] = 21,
    as_json: Json = False,
) -> None:
    """What a schedule would have done on a recorded loss curve.

    Prints the step and the probability of every test of an automated warmup, the step at which
    it ended, the learning rate after that, and the learning rate's curve.
    """
    from robustlr.schedules import parse, to_table
    from robustlr.schedules.replay import replay as replayed
    from robustlr.schedules.replay import with_test_every

    if not (math.isfinite(peak_lr) and peak_lr > 0.0):
        raise SpecError(f"--peak-lr must be a positive number, got {peak_lr}")
    schedule = parse(kind)
    if test_every is not None:
        schedule = with_test_every(schedule, test_every)
    recorded, traces = _read(losses)
    if len(recorded) > num_steps:
        raise DataError(
            f"{losses}: {len(recorded)} losses are more than --num-steps {num_steps}, the horizon "
            "of the run they are from"
        )
    if traces is None and schedule.curvature_request is not None:
        raise DataError(
            f"{losses}: has no column 'trace', from which '{schedule.label}' learns: one estimate "
            "of the Hessian's trace per update, or empty"
        )
    try:
        result = replayed(schedule, recorded, num_steps, traces)
    except DataError as error:
        raise DataError(f"{losses}: {error}") from error
    after = _multiplier_after(result)
    lr_after = None if after is None else peak_lr * after
    if as_json:
        show_json(
            {
                "schedule": schedule.label,
                "table": to_table(schedule),
                "num_steps": num_steps,
                "updates": len(result.multipliers),
                "tests": [{"step": t.step, "probability": t.probability} for t in result.tests],
                "switch_step": result.switch_step,
                "diverged_step": result.diverged_step,
                "lr_after": lr_after,
                "lr": [peak_lr * multiplier for multiplier in result.multipliers],
                "telemetry": result.telemetry,
                "outcome": result.outcome,
            }
        )
        return
    say(f"{schedule.label}, {len(result.multipliers)} of {num_steps} updates replayed")
    if result.tests:
        show_table(["step of test", "probability"], [(t.step, t.probability) for t in result.tests])
    facts = dict(result.outcome)
    if "warmup_switch_step" in facts:
        facts["lr after the switch"] = lr_after
    show_facts(facts)
    say()
    last = len(result.multipliers) - 1
    top = max(result.multipliers) or 1.0
    for step in sorted({round(i * last / (rows - 1)) for i in range(rows)}):
        multiplier = result.multipliers[step]
        bar = "█" * round(_BAR * multiplier / top)
        say(f"{step:>8}  {peak_lr * multiplier:9.3e}  {bar}".rstrip())
    if result.diverged_step is not None:
        note(
            f"too many traces in a row are not finite: a run would end as diverged at step "
            f"{result.diverged_step}"
        )
    if result.tests and result.switch_step is None:
        note("no test was positive often enough: within these updates the warmup does not end")


def _multiplier_after(result: Replay) -> float | None:
    value = result.outcome.get("warmup_multiplier")
    return float(value) if isinstance(value, int | float) else None


def _read(path: Path) -> tuple[list[float], list[float | None] | None]:
    """The columns loss and trace. A loss may be NaN or infinite but not missing: whether a run
    diverged there is not for us to guess. Empty lines at the end are no updates."""
    import polars as pl

    from robustlr.records.tables import read_table

    frame = read_table(path)
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    frame = frame.head(filled[-1] + 1 if len(filled) else 0)  # empty lines may end the file
    losses, traces = (_column(frame, column, path) for column in ("loss", "trace"))
    if losses is None:
        raise DataError(f"{path}: has no column 'loss', only {', '.join(frame.columns)}")
    if losses.is_empty():
        raise DataError(f"{path}: has a header but no losses")
    holes = losses.is_null().arg_true()
    if len(holes):
        raise DataError(
            f"{path}: row {holes[0] + 1}: the loss is missing; one is needed for every update, "
            "nan or inf where it was not finite"
        )
    return losses.to_list(), None if traces is None else traces.to_list()


def _column(frame: pl.DataFrame, column: str, path: Path) -> pl.Series | None:
    """Its numbers, null where empty, if there is one; polars renames a second one."""
    import polars as pl

    from robustlr.records.tables import Column, typed

    found = [name for name in frame.columns if name.partition("_duplicated_")[0] == column]
    if len(found) > 1:
        raise DataError(f"{path}: has {len(found)} columns '{column}': keep one")
    return typed(frame[found[0]], Column(pl.Float64(), empty=True), path) if found else None
