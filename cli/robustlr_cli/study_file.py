"""`robustlr study init` and `schema`: a study file to start from, and what may stand in one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustlr_cli._console import note, say, show_json


def init(
    name: Annotated[str, typer.Argument(help="Name of the study; the file is NAME.toml.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented study file to start from."""
    from robustlr.errors import SpecError
    from robustlr.records import write_atomic
    from robustlr.specs import TEMPLATE

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    if path.name.startswith("."):
        raise SpecError(f"'{name}' is no name for a study: write one such as 'mine'")
    if not path.parent.is_dir():
        raise SpecError(f"{path.parent}: no such folder; make it, or write {path.name} elsewhere")
    if path.exists() and not force:
        raise SpecError(f"{path}: exists already; --force overwrites it")
    write_atomic(path, TEMPLATE.replace("{name}", path.stem).encode())
    note(f"next: robustlr study plan {path}")
    say(str(path))


def schema() -> None:
    """The JSON schema of a study file, for editors."""
    from robustlr.specs import json_schema

    show_json(json_schema())
