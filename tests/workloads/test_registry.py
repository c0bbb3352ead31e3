"""Workloads by name: registered, from an entry point, or a user's factory; and their mistakes."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from robustlr.errors import RobustlrError, SpecError, WorkloadError
from robustlr.specs import WorkloadSpec
from robustlr.workloads import build_workload, describe_workloads, registry, workload_names
from robustlr.workloads.digits_mlp import DigitsMLP
from tests.workloads.samples import Regression

SAMPLES = "tests.workloads.samples"


def install(monkeypatch: pytest.MonkeyPatch, name: str, target: str) -> None:
    point = EntryPoint(name=name, value=f"{SAMPLES}:{target}", group=registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda *, group: [point])


def test_a_registered_kind_with_its_options() -> None:
    workload = build_workload(WorkloadSpec(kind="digits_mlp", options={"hidden": [3, 5]}))
    assert workload == DigitsMLP(hidden=(3, 5))


def test_a_users_factory_with_its_options() -> None:
    spec = WorkloadSpec(factory=f"{SAMPLES}:Regression", options={"dim": 7})
    workload = build_workload(spec)
    assert isinstance(workload, Regression)
    assert workload.dim == 7
    assert spec.label == "Regression"


def test_a_third_party_joins_through_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "regression", "Regression")
    assert isinstance(build_workload(WorkloadSpec(kind="regression")), Regression)
    assert "regression" in [row["kind"] for row in describe_workloads()]
    with pytest.raises(SpecError, match="did you mean 'regression'"):
        build_workload(WorkloadSpec(kind="regresion"))


@pytest.mark.parametrize("name", ["digits_mlp", "factory"])
def test_nobody_takes_the_name_of_another(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    install(monkeypatch, name, "Regression")
    with pytest.raises(SpecError, match=f"robustlr.workloads:{name} takes a name in use"):
        workload_names()


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ({"kind": "digit_mlp"}, SpecError, "unknown workload 'digit_mlp'; did you mean 'digits_"),
        ({"kind": "zzz"}, SpecError, "(yours: factory = 'module:name')"),
        (
            {"kind": "digits_mlp", "options": {"hiden": [3]}},
            SpecError,
            "workload 'digits_mlp': hiden: unknown key; did you mean 'hidden'?",
        ),
        (
            {"kind": "digits_mlp", "options": {"hidden": 3}},
            SpecError,
            "workload 'digits_mlp': hidden: must be a list, got 3",
        ),
        (
            {"kind": "digits_mlp", "options": {"hidden": [0]}},
            SpecError,
            "workload 'digits_mlp': hidden widths must be at least 1, got [0]",
        ),
        (
            {"kind": "logistic", "options": {"noise": -0.1}, "label": "mine"},
            SpecError,
            "workload 'mine': noise must be in (0, 0.5), got -0.1",
        ),
        (
            {"factory": f"{SAMPLES}:raises"},
            WorkloadError,
            f"workload '{SAMPLES}:raises' raised RuntimeError: no network and no cache",
        ),
        (
            {"factory": f"{SAMPLES}:returns_none"},
            WorkloadError,
            "returned a NoneType, not a subclass of robustlr.workloads.Workload",
        ),
        ({"factory": f"{SAMPLES}:not_callable"}, WorkloadError, "is a int, not a function"),
        (
            {"factory": f"{SAMPLES}:Regression", "options": {"size": 3, "depth": 2}},
            WorkloadError,
            "raised TypeError: Regression.__init__() got an unexpected keyword argument 'depth'",
        ),
        (
            {"factory": f"{SAMPLES}:Unfinished"},
            WorkloadError,
            f"workload '{SAMPLES}:Unfinished' raised TypeError: Can't instantiate abstract class",
        ),
        (
            {"factory": f"{SAMPLES}:WithoutItsFile"},
            WorkloadError,
            f"workload '{SAMPLES}:WithoutItsFile' raised RuntimeError: no file here",
        ),
        (
            {"factory": f"{SAMPLES}:HoldsTensors"},
            WorkloadError,
            "HoldsTensors' has fields that no study file can hold: first, second; options are",
        ),
        (
            {"factory": f"{SAMPLES}:gives_up"},
            WorkloadError,
            f"workload '{SAMPLES}:gives_up' raised SystemExit: 0",
        ),
        ({"factory": f"{SAMPLES}:Missing"}, WorkloadError, "has no 'Missing'"),
        (
            {"factory": "no_such_package.module:make"},
            WorkloadError,
            "ModuleNotFoundError: No module named 'no_such_package'; run from the folder",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_one_line(
    spec: dict[str, Any], kind: type[RobustlrError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        build_workload(WorkloadSpec(**spec))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_descriptions_are_a_sentence_and_plain_options() -> None:
    described = {row["kind"]: row for row in describe_workloads()}
    assert set(described) == set(workload_names())
    assert described["digits_mlp"]["options"] == {"hidden": (64, 64)}
    for row in described.values():
        assert row["summary"].endswith(".")
        assert "\n" not in row["summary"]
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in row["options"].items()}
        given = {k: v for k, v in options.items() if v != registry.REQUIRED}
        if given == options:
            assert build_workload(WorkloadSpec(kind=row["kind"], options=options))
            continue
        with pytest.raises(SpecError) as caught:
            build_workload(WorkloadSpec(kind=row["kind"], options=given))
        for name in options.keys() - given.keys():
            assert f"{name}: is required" in str(caught.value)


def test_a_module_beside_the_study_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console script does not have the user's folder on its path."""
    (tmp_path / "my_own_problem.py").write_text(f"from {SAMPLES} import Regression as make\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    spec = WorkloadSpec(factory="my_own_problem:make")
    assert isinstance(build_workload(spec), Regression)
    monkeypatch.delitem(sys.modules, "my_own_problem")
