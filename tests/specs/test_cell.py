"""The key of a cell: the same for the same training, another for any other."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from robustlr.errors import SpecError
from robustlr.schedules import Cosine, Polynomial, Tabulated, Warmup
from robustlr.specs import (
    SGD,
    Adam,
    Cell,
    PytorchOptimizer,
    ShardingSpec,
    TrainingSpec,
    WorkloadSpec,
    load_study,
    packaged_studies,
)

CELL = Cell(
    workload=WorkloadSpec(kind="logistic", options={"dim": 5, "noise": 0.1}),
    optimizer=SGD(momentum=0.9),
    schedule=Cosine(),
    batch_size=64,
    num_steps=400,
    lr_exponent="-3/4",
    seed=1,
)

SHARDED = TrainingSpec(processes_per_cell=2, accelerate_config=ShardingSpec())

OTHERS: dict[str, Any] = {
    "workload kind": {"workload": WorkloadSpec(kind="other", options=CELL.workload.options)},
    "workload option": {"workload": WorkloadSpec(kind="logistic", options={"dim": 6})},
    "workload factory": {"workload": WorkloadSpec(factory="a.b:c")},
    "optimizer option": {"optimizer": SGD(momentum=0.8)},
    "nesterov": {"optimizer": SGD(momentum=0.9, nesterov=True)},
    "optimizer kind": {"optimizer": Adam()},
    "optimizer name": {"optimizer": PytorchOptimizer(name="Lamb")},
    "schedule option": {"schedule": Cosine(final_multiplier=0.1)},
    "schedule kind": {"schedule": Polynomial()},
    "nested schedule": {"schedule": Warmup(then=Polynomial(degree=2))},
    "table": {"schedule": Tabulated(multipliers=(1.0, 0.5))},
    "batch_size": {"batch_size": 65},
    "num_steps": {"num_steps": 401},
    "lr_exponent": {"lr_exponent": "-3/5"},
    "seed": {"seed": 2},
    "eval_every": {"training": TrainingSpec(eval_every=26)},
    "log_every": {"training": TrainingSpec(log_every=1)},
    "accumulation_steps": {"training": TrainingSpec(accumulation_steps=2)},
    "precision": {"training": TrainingSpec(precision="bf16")},
    "clip_norm": {"training": TrainingSpec(clip_norm=1.0)},
    "processes_per_cell": {"training": TrainingSpec(processes_per_cell=2)},
    "compile": {"training": TrainingSpec(compile=True)},
    "gradient_checkpointing": {"training": TrainingSpec(gradient_checkpointing=True)},
    "ema_decay": {"training": TrainingSpec(ema_decay=0.999)},
    "channels_last": {"training": TrainingSpec(channels_last=True)},
    "accelerate_config": {"training": SHARDED},
    "size of the shards": {
        "training": dataclasses.replace(
            SHARDED, accelerate_config=ShardingSpec(auto_wrap_policy="SIZE_BASED_WRAP")
        )
    },
}


def test_every_other_training_has_another_key() -> None:
    cells = [CELL, *(dataclasses.replace(CELL, **change) for change in OTHERS.values())]
    assert len({cell.key for cell in cells}) == len(cells)


def test_every_field_takes_part() -> None:
    changed = {field for change in OTHERS.values() for field in change}
    assert changed == {field.name for field in dataclasses.fields(Cell)}


@pytest.mark.parametrize(
    "change",
    [
        {"workload": dataclasses.replace(CELL.workload, label="my problem")},
        {"optimizer": dataclasses.replace(CELL.optimizer, label="plain")},
        {"workload": WorkloadSpec(kind="logistic", options={"noise": 0.1, "dim": 5})},
        {"workload": WorkloadSpec(kind="logistic", options={"dim": 5.0, "noise": 0.1})},
    ],
    ids=["workload label", "optimizer label", "order of options", "2 or 2.0"],
)
def test_what_does_not_change_training_does_not_change_the_key(change: Any) -> None:
    assert dataclasses.replace(CELL, **change).key == CELL.key


def test_python_and_toml_agree() -> None:
    written = dataclasses.replace(CELL, schedule=Polynomial(degree=2))
    read = Cell.from_table(json.loads(json.dumps(written.table())))
    assert read.key == written.key
    assert read == written


def test_the_key_is_a_file_name_and_the_same_in_every_process() -> None:
    # a hash of the content alone: a change here orphans every result on disk
    assert CELL.key == "".join(c for c in CELL.key if c in "0123456789abcdef")
    assert len(CELL.key) == 20
    assert CELL.key == dataclasses.replace(CELL).key


@pytest.mark.parametrize(
    ("study", "key"),
    [
        ("digits", "188a4862dd50e08cc64b"),
        ("annealing", "d260cb69084565904677"),
        ("curvature-speedup", "f0086a5b3dc60642efb8"),
        ("large-batch-digits", "f95b20ca23f45676f0c5"),
    ],
)
def test_results_of_before_keep_their_keys(study: str, key: str) -> None:
    # the first rows of reports/*/runs.parquet; whoever changes this orphans results on disk
    assert next(load_study(packaged_studies()[study]).cells()).key == key


def test_every_training_option_takes_part() -> None:
    changed = {
        option.name
        for change in OTHERS.values()
        for option in dataclasses.fields(TrainingSpec)
        if "training" in change and getattr(change["training"], option.name) != option.default
    }
    assert changed == {option.name for option in dataclasses.fields(TrainingSpec)}


@pytest.mark.parametrize("change", [{}, *OTHERS.values()], ids=["itself", *OTHERS])
def test_table_and_back(change: Any) -> None:
    cell = dataclasses.replace(CELL, **change)
    copy = Cell.from_table(json.loads(json.dumps(cell.table())))
    assert copy == cell
    assert copy.key == cell.key
    assert copy.peak_lr == cell.peak_lr


@pytest.mark.parametrize(
    "text", ["", "x", "-6/8", "1/0", "0.5", "1e999999999", "--1", " 1", "4/2", "1" * 50]
)
def test_an_exponent_that_is_no_reduced_fraction(text: str) -> None:
    with pytest.raises(SpecError, match="lr_exponent must be a reduced fraction"):
        dataclasses.replace(CELL, lr_exponent=text)


def test_what_is_compared_is_named_for_people() -> None:
    assert CELL.setting == "logistic · sgd · batch 64 · 400 updates"
    assert CELL.peak_lr == pytest.approx(10**-0.75)


@pytest.mark.parametrize(
    "table",
    [{"kind": "x", "factory": "a:b"}, {}, {"factory": "no colon"}, {"factory": "a:b c"}],
    ids=str,
)
def test_a_workload_is_a_kind_or_a_factory(table: dict[str, str]) -> None:
    with pytest.raises(SpecError, match=r"factory"):
        WorkloadSpec(**table)
