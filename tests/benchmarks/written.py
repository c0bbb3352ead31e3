"""What a benchmark leaves in reports/: what was measured, on what, by which command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from robustlr.training.provenance import provenance


def write(path: Path, title: str, command: str, lines: Sequence[str]) -> None:
    """A small page; `lines` are its Markdown below how it was made."""
    facts = provenance("cpu")
    made = (
        f"Made by `{command}` on {os.cpu_count()} cores of {facts['device']}, "
        f"{facts['platform']}, Python {facts['python']}, commit {facts['git_commit']}; load "
        f"{os.getloadavg()[0]:.1f} at its end (times are sure only with no other jobs)."
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([f"# {title}", "", made, "", *lines]) + "\n", encoding="utf-8")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table; all but its first column are aligned to the right."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return ["| " + " | ".join(map(str, row)) + " |" for row in (columns, rule, *rows)]
