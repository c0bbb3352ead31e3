"""Objects by name, and why they cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robustlr.errors import WorkloadError
from robustlr.plugins import import_object


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(path: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        import_object(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_there() -> None:
    assert import_object("math:tau") == pytest.approx(6.283185307179586)
    assert import_object("os:path.join") is __import__("os").path.join


def test_a_module_of_the_current_folder(folder: Path) -> None:
    (folder / "mine_alone.py").write_text("import mine_too\nvalue = mine_too.value\n")
    (folder / "mine_too.py").write_text("value = 7\n")
    assert import_object("mine_alone:value") == 7


def test_an_installed_module_is_not_hidden_by_a_file_of_the_same_name(folder: Path) -> None:
    (folder / "math.py").write_text("tau = 0\n")
    assert import_object("math:tau") > 6


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nowhere_at_all:f", "No module named 'nowhere_at_all'; run from the folder that holds it"),
        ("json.nowhere:f", "No module named 'json.nowhere'; run from the folder that holds it"),
        ("math:f", "'math:f': the module 'math' has no 'f'"),
        ("os:path.nothing", "the module 'os' has no 'path.nothing'"),
        ("math:", "the module 'math' has no ''"),
        ("math", "the module 'math' has no ''"),
    ],
)
def test_what_is_not(path: str, expected: str) -> None:
    assert expected in refusal(path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("import a_package_that_is_not_there", "No module named 'a_package_that_is_not_there'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_a_module_that_fails(folder: Path, code: str, expected: str) -> None:
    (folder / "failing_module.py").write_text(code + "\n")
    line = refusal("failing_module:f")
    assert line.startswith("'failing_module:f' cannot be imported: ")
    assert expected in line
    assert "run from the folder" not in line  # it is there, it fails
