"""`robustlr schedule replay`: what a schedule would have done on a recorded loss curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr.errors import DataError, SpecError, one_line
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
    result = replayed(schedule, recorded, num_steps, traces)
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
    """The columns loss and trace. A loss may be NaN, infinite or empty, which reads as NaN; empty
    lines at the end are no updates."""
    import polars as pl

    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'there is no such file'}")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or 'cannot be read'}") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV file: {one_line(str(error))[:120]}") from error
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    frame = frame.head(filled[-1] + 1 if len(filled) else 0)  # empty lines may end the file
    columns = {column: _column(frame, column, path) for column in ("loss", "trace")}
    losses, traces = columns["loss"], columns["trace"]
    if losses is None:
        raise DataError(f"{path}: has no column 'loss', only {', '.join(frame.columns)}")
    recorded = _numbers(losses, "loss", path)
    values = [float("nan") if value is None else value for value in recorded]
    return values, None if traces is None else _numbers(traces, "trace", path)


def _column(frame: pl.DataFrame, column: str, path: Path) -> Sequence[str | None] | None:
    """Its texts, if there is one. Its name may have spaces around; polars renames a second one."""
    found = [name for name in frame.columns if name.partition("_duplicated_")[0].strip() == column]
    if len(found) > 1:
        raise DataError(f"{path}: has {len(found)} columns '{column}': keep one")
    return frame[found[0]].to_list() if found else None


def _numbers(texts: Sequence[str | None], column: str, path: Path) -> list[float | None]:
    numbers: list[float | None] = []
    for row, text in enumerate(texts, start=2):
        try:
            numbers.append(float(text) if text is not None and text.strip() else None)
        except ValueError:
            raise DataError(f"{path}, line {row}: the {column} '{text}' is no number") from None
    return numbers
