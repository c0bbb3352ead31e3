"""Everything that reaches the terminal goes through here: tables, JSON, notes, errors.

Results go to standard output and nothing else does, so that ``--json`` can be piped; notes and
errors go to standard error. rich is imported when it is needed, `--help` stays fast.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

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
    _console().print(table_block(columns, rows, title=title))


def show_facts(facts: Mapping[str, object]) -> None:
    """Names and values, one a line, aligned."""
    _console().print(facts_block(facts))


class Refreshed:
    """Blocks that are drawn in place on a terminal, and one after the other elsewhere."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(console=_console(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, blocks: Sequence[RenderableType]) -> None:
        """Draw the blocks."""
        from rich.console import Group

        if self._live is not None:
            self._live.update(Group(*blocks), refresh=True)
        else:
            _console().print(Group(*blocks))
            sys.stdout.flush()


def table_block(columns: Sequence[str], rows: Sequence[Row], *, title: str = "") -> Table:
    """What `show_table` shows."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=escape(title) or None, title_justify="left")
    for position, name in enumerate(columns):
        numeric = any(isinstance(row[position], int | float) for row in rows)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(shown(value)) for value in row))
    return table


def facts_block(facts: Mapping[str, object]) -> Table:
    """What `show_facts` shows."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(escape(name), escape(shown(value)))
    return table


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
