"""The name of a workload's code: of its files, wherever they are, and of nothing else."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from robustlr.workloads import Workload, code_hash
from robustlr.workloads.logistic import Logistic
from tests.workloads.samples import Regression

MINE = """
from robustlr.workloads.logistic import Logistic
class Mine(Logistic):
    pass
"""


def mine(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Workload:
    """A workload of the module `mine` in `folder`, as a machine imports it."""
    folder.mkdir()
    file = folder / "mine.py"
    file.write_text(text, encoding="utf-8")
    described = importlib.util.spec_from_file_location("mine", file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    monkeypatch.setitem(sys.modules, "mine", module)
    described.loader.exec_module(module)
    return module.Mine(dim=3, samples=60)  # type: ignore[no-any-return]


def test_equal_files_in_two_places_are_one_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [code_hash(mine(tmp_path / name, MINE, monkeypatch)) for name in ("a", "b")]
    assert hashes[0] == hashes[1]
    edited = code_hash(mine(tmp_path / "c", MINE.replace("pass", "x = 1"), monkeypatch))
    assert edited != hashes[0]


def test_options_are_no_code_and_another_class_is() -> None:
    assert code_hash(Logistic(dim=3, samples=60)) == code_hash(Logistic(dim=4, samples=70))
    assert code_hash(Logistic(dim=3, samples=60)) != code_hash(Regression())


def test_a_class_without_a_file_counts_by_its_name() -> None:
    names: dict[str, type[Logistic]] = {}
    for name in ("One", "Two", "One"):
        made = type(name, (Logistic,), {"__module__": "nowhere"})
        names.setdefault(name, made)
        assert code_hash(made(dim=3, samples=60)) == code_hash(names[name](dim=3, samples=60))
