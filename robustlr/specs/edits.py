"""Does an edited study still describe the cells it has already run?

New points on an axis (learning rates, schedules, seeds, workloads, ...) only add cells, and a
point left out keeps its results on disk. A changed option of an existing point would make the
old results answers to another question: that is refused, key by key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robustlr.specs.study import StudySpec


def conflicts(old: StudySpec, new: StudySpec) -> list[str]:
    """One entry 'key: old -> new' for every edit that would change existing cells.

    >>> table = {"workload": {"kind": "x"}, "schedule": "fixed", "batch_size": 8, "num_steps": 9,
    ...          "seeds": 1, "grid": {"low": 1, "high": 1}}
    >>> old, more_seeds = StudySpec.from_table(table), StudySpec.from_table({**table, "seeds": 2})
    >>> conflicts(old, more_seeds)
    []
    >>> conflicts(old, StudySpec.from_table({**table, "workload": {"kind": "x", "hidden": 3}}))
    ["workload 'x'.hidden: (absent) -> 3"]
    """
    before, after = old.table(), new.table()
    found = _differences("training", before["training"], after["training"])
    for axis in ("workload", "optimizer", "schedule"):
        was, now = _by_label(old, before, axis), _by_label(new, after, axis)
        for label in (label for label in was if label in now):
            found += _differences(f"{axis} '{label}'", was[label], now[label])
    # A budget that went while another came is the same budget with another number.
    was_budgets, now_budgets = set(old.budgets()), set(new.budgets())
    if was_budgets - now_budgets and now_budgets - was_budgets:
        found += [
            f"{axis}: {_plain(before[axis])} -> {_plain(after[axis])}"
            for axis in ("batch_size", "num_steps", "num_examples")
            if set(before[axis]) != set(after[axis])
        ]
    return found


def _by_label(spec: StudySpec, table: Mapping[str, Any], axis: str) -> dict[str, Any]:
    labels = [choice.label for choice in getattr(spec, axis)]
    return dict(zip(labels, table[axis], strict=True))


def _differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            difference
            for key in sorted(set(old) | set(new))
            for difference in _differences(
                where if key == "options" else f"{where}.{key}", old.get(key), new.get(key)
            )
        ]
    return [] if old == new else [f"{where}: {_plain(old)} -> {_plain(new)}"]


def _plain(value: Any) -> str:
    if value is None or value in ((), []):
        return "(absent)"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return str(value)
