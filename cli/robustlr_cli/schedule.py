"""`robustlr schedule`: the shapes a learning rate can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from robustlr_cli._arguments import Json
from robustlr_cli._console import note, say, show_facts, show_json, show_table
from robustlr_cli.replay import replay
from robustlr_cli.tabulate import tabulate

app = typer.Typer(help="The shapes a learning rate can take.", no_args_is_help=True)
app.command(
    epilog="Example: robustlr schedule replay --kind auto_warmup --losses losses.csv "
    "--num-steps 2000"
)(replay)
app.command(epilog="Example: robustlr schedule tabulate runs/digits/cells/0a1b2c.parquet")(tabulate)

_BAR = 40


@app.command("list", epilog="Example: robustlr schedule list")
def list_schedules(as_json: Json = False) -> None:
    """Every registered schedule, with its options and their defaults."""
    from robustlr.schedules import schedule_types, to_table

    described: list[dict[str, Any]] = []
    for kind, cls in schedule_types().items():
        options = to_table(cls())
        options.pop("kind")
        summary = (cls.__doc__ or "").strip().partition("\n")[0]
        described.append({"kind": kind, "shape": summary, "options": options})
    if as_json:
        show_json(described)
        return
    show_table(
        ["kind", "multiplier at step t of T", "options"],
        [(row["kind"], row["shape"], _written(row["options"])) for row in described],
    )
    note(
        "'linear' is polynomial:degree=1; '+warmup' or '+warmup=0.05' behind any of them warms up."
    )


@app.command(epilog="Example: robustlr schedule show polynomial:degree=2+warmup --num-steps 400")
def show(
    schedule: Annotated[str, typer.Argument(help="Such as cosine, wsd:decay_fraction=0.3.")],
    num_steps: Annotated[int, typer.Option(min=1, help="The horizon T in updates.")] = 100,
    rows: Annotated[int, typer.Option(min=2, help="How many steps to show.")] = 21,
    as_json: Json = False,
) -> None:
    """A schedule's multiplier from the first update to the last."""
    import numpy as np

    from robustlr.schedules import Schedule, parse, to_table
    from robustlr.schedules.base import Lifted

    parsed = parse(schedule)
    if not (isinstance(parsed, Schedule) and isinstance(parsed.lifted(), Lifted)):
        if as_json:
            show_json({"schedule": parsed.label, "table": to_table(parsed), "multipliers": None})
            return
        show_facts({"schedule": parsed.label, **to_table(parsed)})
        note("it learns from training and has no fixed shape; see `robustlr schedule replay`")
        return
    steps = np.unique(np.linspace(0, num_steps, rows).round().astype(int))
    multipliers = parsed.multiplier(steps, num_steps)
    if as_json:
        show_json(
            {
                "schedule": parsed.label,
                "table": to_table(parsed),
                "num_steps": num_steps,
                "steps": steps.tolist(),
                "multipliers": multipliers.tolist(),
            }
        )
        return
    say(f"{parsed.label}, {num_steps} updates")
    for step, multiplier in zip(steps.tolist(), multipliers.tolist(), strict=True):
        say(f"{step:>8}  {multiplier:6.4f}  " + "█" * round(_BAR * multiplier))


def _written(options: Mapping[str, object]) -> str:
    kinds = {k: v.get("kind") if isinstance(v, Mapping) else v for k, v in options.items()}
    return ", ".join(f"{name} = {value}" for name, value in kinds.items())
