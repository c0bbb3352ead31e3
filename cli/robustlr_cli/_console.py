"""Everything that reaches the terminal goes through here: tables, JSON, notes, errors.

Results go to standard output and nothing else does, so that ``--json`` can be piped; notes and
errors go to standard error. rich is imported when it is needed, `--help` stays fast.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Row = Sequence[object]


def say(text: str = "") -> None:
    """A line of the command's result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line beside the result, such as what to do next."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show_error(text: str) -> None:
    """One line that says what is wrong, where, and how to mend it."""
    note(f"robustlr: {text}")


def show_json(value: Any) -> None:
    """`value` as JSON; what is not finite becomes null, since JSON has no word for it."""
    say(json.dumps(_jsonable(value), indent=2, ensure_ascii=False, allow_nan=False))


def show_table(columns: Sequence[str], rows: Sequence[Row], *, title: str = "") -> None:
    """A table that fits the terminal; columns of numbers are aligned to the right.

    None is shown as a dash, floats with four significant digits.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=escape(title) or None, title_justify="left")
    for position, name in enumerate(columns):
        numeric = any(isinstance(row[position], int | float) for row in rows)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(shown(value)) for value in row))
    _console().print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line, aligned."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(escape(name), escape(shown(value)))
    _console().print(table)


def shown(value: object) -> str:
    """A value as a person reads it.

    >>> shown(None), shown(0.00012345), shown(float("inf")), shown(True), shown(12)
    ('—', '0.0001234', '∞', 'yes', '12')
    """
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return "—"
        return f"{value:.4g}".replace("inf", "∞")
    return str(value)


def duration(seconds: float) -> str:
    """A duration as a person says it.

    >>> duration(4.2), duration(75), duration(7300)
    ('4 s', '1 min 15 s', '2 h 2 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return value
