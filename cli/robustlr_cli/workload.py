"""`robustlr workload`: the optimisation problems a study can be run on."""

from __future__ import annotations

import json

import typer

from robustlr_cli._arguments import Json
from robustlr_cli._console import note, show_json, show_table

app = typer.Typer(help="The problems a study can be run on.", no_args_is_help=True)


@app.command("list", epilog="Example: robustlr workload list")
def list_workloads(as_json: Json = False) -> None:
    """Every registered workload, with its options and their defaults."""
    from robustlr.workloads import describe_workloads

    described = describe_workloads()
    if as_json:
        show_json(described)
        return
    rows = [
        (row["kind"], row["summary"], ", ".join(map(_shown, row["options"].items())))
        for row in described
    ]
    show_table(["kind", "what it is", "options"], rows)
    note("Yours: factory = 'package.module:name' in the study file's [workload].")


def _shown(option: tuple[str, object]) -> str:
    """An option and its default as a study file has them; bare where it is absent.

    >>> _shown(("path", "data")), _shown(("size", 32)), _shown(("flip", True)), _shown(("a", None))
    ('path = "data"', 'size = 32', 'flip = true', 'a')
    """
    name, value = option
    if value is None or value == "(required)":
        return f"{name} {value or ''}".rstrip()
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
