"""A table for readers, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from robustlr.report import escape
from robustlr.report.numbers import interval
from robustlr.report.setting import Row

Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """key: its file name. explanation: how to read it, in a sentence or two."""

    key: str
    title: str
    explanation: str
    columns: Cells
    rows: tuple[Cells, ...]

    def markdown(self) -> str:
        """A pipe table; the first column is text, the others are numbers."""
        lines = [
            self.columns,
            ("---", *("---:" for _ in self.columns[1:])),
            *(tuple(escape.markdown(cell) for cell in row) for row in self.rows),
        ]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def latex(self) -> str:
        """A booktabs table."""
        body = [" & ".join(map(escape.latex, row)) + r" \\" for row in self.rows]
        head = " & ".join(map(escape.latex, self.columns)) + r" \\"
        lines = [
            r"\begin{table}",
            rf"\caption{{{escape.latex(self.title)}. {escape.latex(self.explanation)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def merged(parts: Sequence[tuple[str, Table]]) -> Table:
    """Tables of the same key over settings as one, the setting in front where there are many."""
    first = parts[0][1]
    if len(parts) == 1:
        return first
    rows = tuple((name, *row) for name, table in parts for row in table.rows)
    return replace(first, columns=("setting", *first.columns), rows=rows)


def rows_of(frame: pl.DataFrame) -> Iterator[Row]:
    return frame.iter_rows(named=True)


def bracketed(row: Row, name: str) -> str:
    """The quantity `name` of a row with its interval."""
    return interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
