"""A study as data: from TOML and back, its cells, and where its file is found."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from robustlr.schedules import Cosine, Fixed, Polynomial, Tabulated, Warmup
from robustlr.specs import (
    SGD,
    TEMPLATE,
    Adam,
    FactoryOptimizer,
    StudySpec,
    WorkloadSpec,
    find_study_file,
    load_study,
    packaged_studies,
)
from tests.specs.tables import TOML, VALID, edited, write


def test_toml_becomes_the_spec_it_says(tmp_path: Path) -> None:
    spec = load_study(write(tmp_path, TOML))
    assert spec.name == "mine"
    assert spec.question == "Which schedule forgives most?"
    assert spec.workload == (WorkloadSpec(kind="digits_mlp", options={"hidden": [64, 64]}),)
    assert spec.optimizer == (SGD(momentum=0.9),)
    assert spec.schedule == (Fixed(), Warmup(then=Cosine()))
    assert (spec.grid.low, spec.grid.high, spec.grid.points_per_decade) == (1e-3, 10.0, 4)
    assert spec.seeds == (0, 1, 2)
    assert spec.batch_size == (64,)
    assert spec.num_steps == (400,)


EVERYTHING = edited(
    name="all",
    grid__low=1.0,
    num_steps=None,
    num_examples=[25600],
    batch_size=[32, 64],
    seeds=[0, 7, 21],
    workload=[
        {"kind": "digits_mlp", "hidden": [8]},
        {"kind": "digits_mlp", "label": "wide", "options": {"hidden": [256]}},
        {"factory": "package.module:name", "depth": 3},
    ],
    optimizer=[
        {"kind": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
        {"kind": "adam", "beta2": 0.99},
        {"kind": "adamw", "eps": 1e-7},
        {"kind": "pytorch_optimizer", "name": "AdamP", "options": {"nesterov": True}},
        {"kind": "factory", "factory": "a.b:c", "options": {"depth": 2}},
    ],
    schedule=[
        "fixed",
        "linear",
        "polynomial:degree=2",
        {"kind": "wsd", "cooldown": "sqrt"},
        {"kind": "inverse_sqrt", "timescale": 10},
        {"kind": "tabulated", "fractions": [0, 0.5, 1], "multipliers": [1, 1, 0], "name": "flat"},
        {"kind": "warmup", "then": {"kind": "curvature_adaptive", "anneal": "cosine"}},
        "curvature_adaptive",
        "cosine+warmup=0.05",
    ],
    training={
        "eval_every": 10,
        "log_every": 5,
        "accumulation_steps": 2,
        "precision": "bf16",
        "clip_norm": 1,
        "processes_per_cell": 2,
    },
    execution={
        "threads_per_cell": 2,
        "cells_per_gpu": 2,
        "max_retries": 0,
        "timeout_seconds": 60,
        "slurm": {
            "workers": 4,
            "partition": "gpu",
            "time": "2:00:00",
            "gpus_per_worker": 2,
            "cpus_per_worker": 8,
            "grace_seconds": 60,
            "setup": ["module load cuda"],
            "extra": {"account": "lab", "mem": "8G", "exclusive": True, "nice": 100},
        },
    },
    report={"baseline": "linear", "epsilon": 0.05, "target": 0.3},
)


@pytest.mark.parametrize("table", [VALID, EVERYTHING], ids=["small", "everything"])
def test_spec_to_table_and_back(table: dict[str, object]) -> None:
    spec = StudySpec.from_table(table)
    assert StudySpec.from_table(spec.table()) == spec
    assert StudySpec.from_table(json.loads(json.dumps(spec.table()))) == spec


def test_one_thing_needs_no_list() -> None:
    one = StudySpec.from_table(edited(batch_size=64, schedule="fixed"))
    listed = StudySpec.from_table(
        edited(
            batch_size=[64],
            schedule=["fixed"],
            num_steps=[400],
            workload=[VALID["workload"]],
            optimizer=[VALID["optimizer"]],
            seeds=[0, 1, 2],
        )
    )
    assert one == listed


def test_sgd_is_the_optimizer_where_none_is_named() -> None:
    assert StudySpec.from_table(edited(optimizer=None)).optimizer == (SGD(),)


def test_labels() -> None:
    spec = StudySpec.from_table(EVERYTHING)
    assert [workload.label for workload in spec.workload] == ["digits_mlp", "wide", "name"]
    assert [optimizer.label for optimizer in spec.optimizer] == [
        "sgd",
        "adam",
        "adamw",
        "adamp",
        "c",
    ]
    assert spec.optimizer[1] == Adam(beta2=0.99)
    assert spec.optimizer[4] == FactoryOptimizer(factory="a.b:c", options={"depth": 2})
    assert spec.schedule_labels[:3] == ["fixed", "linear", "polynomial:degree=2"]
    assert isinstance(spec.schedule[5], Tabulated)
    assert spec.schedule_labels[5] == "flat"


def test_cells_are_the_product_of_the_axes_each_once() -> None:
    spec = StudySpec.from_table(EVERYTHING)
    cells = list(spec.cells())
    assert len(cells) == 3 * 3 * 5 * 2 * 9 * 5
    assert len({cell.key for cell in cells}) == len(cells)
    assert {(cell.batch_size, cell.num_steps) for cell in cells} == {
        (32, 800),
        (64, 400),
    }
    assert {cell.training.precision for cell in cells} == {"bf16"}


def test_seeds_come_last_so_that_every_schedule_has_one_first() -> None:
    spec = StudySpec.from_table(VALID)
    seeds = [cell.seed for cell in spec.cells()]
    assert seeds == sorted(seeds)
    first = [cell for cell in spec.cells() if cell.seed == 0]
    assert {cell.schedule for cell in first} == set(spec.schedule)
    assert len({cell.lr_exponent for cell in first}) == len(spec.grid)


def test_a_budget_in_examples_is_the_same_for_every_batch_size() -> None:
    spec = StudySpec.from_table(edited(num_steps=None, num_examples=10_000, batch_size=[30, 64]))
    assert spec.budgets() == [(30, 333), (64, 156)]


def test_learning_rates_are_the_grid() -> None:
    spec = StudySpec.from_table(VALID)
    peaks = sorted({cell.peak_lr for cell in spec.cells()})
    assert peaks == pytest.approx([10 ** (k / 4) for k in range(-12, 5)], rel=1e-15)
    assert 0.001 in peaks
    assert 10.0 in peaks


def test_the_template_is_a_study(tmp_path: Path) -> None:
    path = write(tmp_path, TEMPLATE.replace("{name}", "fresh"), "fresh.toml")
    spec = load_study(path)
    assert spec.name == "fresh"
    assert spec.schedule == (Fixed(), Polynomial(), Cosine(), Warmup(then=Cosine()))
    assert TEMPLATE.count("{") == TEMPLATE.count("{name}")  # str.format would do, too


def test_packaged_studies_are_valid_and_named_after_their_files() -> None:
    studies = packaged_studies()
    assert "digits" in studies
    for name, path in studies.items():
        spec = load_study(path)
        assert spec.name == name
        assert spec.question.endswith("?")
        assert list(spec.cells())


def test_the_digits_study_is_what_it_promises() -> None:
    spec = load_study(packaged_studies()["digits"])
    assert Fraction(len(spec.grid) - 1, spec.grid.points_per_decade) >= 4
    assert spec.grid.points_per_decade >= 4
    assert len(spec.seeds) >= 6
    assert {"fixed", "linear", "cosine", "polynomial:degree=2"} <= set(spec.schedule_labels)


def test_a_file_goes_before_a_packaged_study_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_study_file("digits") == packaged_studies()["digits"]
    (tmp_path / "digits").mkdir()  # somebody's folder is no reason to refuse
    assert find_study_file("digits") == packaged_studies()["digits"]
    own = write(tmp_path, TOML, "digits.toml")
    assert find_study_file("digits.toml") == Path("digits.toml")
    assert find_study_file(str(own)) == own
