"""Which tables a setting gets, in which order."""

from __future__ import annotations

from collections.abc import Callable

from robustlr.report import grid_tables, training_tables
from robustlr.report.setting import Setting
from robustlr.report.table import Table


def tables(setting: Setting, *, every: int | None) -> list[Table]:
    """Every table that has rows. every: the resolution that the answer is about."""
    makers: list[Callable[[Setting], Table]] = [
        grid_tables.tuned_table,
        grid_tables.tolerance_table,
        grid_tables.regret_table,
        lambda s: grid_tables.pairwise_table(s, every),
        training_tables.sensitivity_table,
        training_tables.speedup_table,
        training_tables.exponent_table,
        training_tables.rate_table,
        training_tables.convergence_table,
    ]
    return [table for table in (make(setting) for make in makers) if table.rows]
