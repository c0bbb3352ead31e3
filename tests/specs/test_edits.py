"""Which edits of a study change what has already been run, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from robustlr.specs import StudySpec, conflicts
from tests.specs.tables import edited

FLAT = {"kind": "tabulated", "fractions": [0, 0.5, 1], "multipliers": [1, 1, 0], "name": "mine"}


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return conflicts(StudySpec.from_table(edited(**before)), StudySpec.from_table(edited(**after)))


GROWTH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "more seeds": ({}, {"seeds": 6}),
    "fewer seeds": ({}, {"seeds": 2}),
    "wider grid": ({}, {"grid__low": 1e-5}),
    "finer grid": ({}, {"grid__points_per_decade": 8}),
    "another schedule": ({}, {"schedule": ["fixed", "cosine+warmup", "wsd"]}),
    "fewer schedules": ({}, {"schedule": ["fixed"]}),
    "another option is another schedule": (
        {"schedule": ["fixed", "polynomial:degree=2"]},
        {"schedule": ["fixed", "polynomial:degree=3"]},
    ),
    "another workload": (
        {},
        {"workload": [{"kind": "digits_mlp", "hidden": [64, 64]}, {"kind": "logistic"}]},
    ),
    "another optimizer": ({}, {"optimizer": [{"kind": "sgd", "momentum": 0.9}, {"kind": "adam"}]}),
    "another batch size": ({}, {"batch_size": [32, 64]}),
    "one batch size less": ({"batch_size": [32, 64]}, {"batch_size": [32]}),
    "another horizon": ({}, {"num_steps": [400, 800]}),
    "the same horizon in examples": ({}, {"num_steps": None, "num_examples": 25600}),
    "report": ({}, {"report__epsilon": 0.1}),
    "execution": ({}, {"execution__threads_per_cell": 2}),
    "question": ({}, {"question": "Why?"}),
    "a default written out": ({}, {"training__log_every": 0}),
    "2 for 2.0": ({"training__clip_norm": 2}, {"training__clip_norm": 2.0}),
}


@pytest.mark.parametrize("name", GROWTH)
def test_no_old_cell_changes(name: str) -> None:
    assert told(*GROWTH[name]) == []


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "evaluation": ({}, {"training__eval_every": 50}, ["training.eval_every: 25 -> 50"]),
    "clipping": ({}, {"training__clip_norm": 1}, ["training.clip_norm: (absent) -> 1.0"]),
    "two keys": (
        {},
        {"training__precision": "bf16", "training__eval_every": 5},
        ["training.eval_every: 25 -> 5", "training.precision: fp32 -> bf16"],
    ),
    "workload option": (
        {},
        {"workload__hidden": [32]},
        ["workload 'digits_mlp'.hidden: [64, 64] -> [32]"],
    ),
    "workload option gone": (
        {},
        {"workload": {"kind": "digits_mlp"}},
        ["workload 'digits_mlp'.hidden: [64, 64] -> (absent)"],
    ),
    "another workload under the same label": (
        {"workload": {"kind": "logistic", "label": "it"}},
        {"workload": {"kind": "absolute_regression", "label": "it"}},
        ["workload 'it'.kind: logistic -> absolute_regression"],
    ),
    "optimizer option": (
        {},
        {"optimizer__momentum": 0.8},
        ["optimizer 'sgd'.momentum: 0.9 -> 0.8"],
    ),
    "horizon": ({}, {"num_steps": 800}, ["num_steps: [400] -> [800]"]),
    "batch size": ({}, {"batch_size": 32}, ["batch_size: [64] -> [32]"]),
    "horizon in examples": (
        {},
        {"num_steps": None, "num_examples": 51200},
        ["num_steps: [400] -> (absent)", "num_examples: (absent) -> [51200]"],
    ),
    "another table under the same name": (
        {"schedule": ["fixed", FLAT]},
        {"schedule": ["fixed", FLAT | {"multipliers": [1, 0.5, 0]}]},
        ["schedule 'mine'.multipliers: [1.0, 1.0, 0.0] -> [1.0, 0.5, 0.0]"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_named_key_by_key(name: str) -> None:
    before, after, expected = CHANGES[name]
    assert told(before, after) == expected


@pytest.mark.parametrize("name", [*GROWTH, *CHANGES])
def test_a_conflict_is_told_exactly_when_an_old_cell_would_be_replaced(name: str) -> None:
    """The slow way: cells that go while others come under the same names."""
    before, after = (GROWTH | CHANGES)[name][:2]

    def cells(table: dict[str, Any]) -> dict[tuple[Any, ...], str]:
        spec = StudySpec.from_table(edited(**table))
        return {
            (cell.workload.label, cell.optimizer.label, cell.schedule.label): cell.key
            for cell in spec.cells()
            if cell.seed == 0 and cell.lr_exponent == "0" and cell.batch_size in (64, 32)
        }

    old, new = cells(before), cells(after)
    replaced = [name for name in old if name in new and old[name] != new[name]]
    budget_axis = {"batch_size", "num_steps"} & {*before, *after}
    if not budget_axis or told(before, after):
        assert bool(replaced) == bool(told(before, after))
