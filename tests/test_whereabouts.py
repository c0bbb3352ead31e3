"""Errors of other people's code name the line of theirs they came from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from robustlr.schedules import parse
from robustlr.whereabouts import located


def told(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        return located(error)
    raise AssertionError("nothing was raised")


def module(path: Path, source: str) -> ModuleType:
    """The module that stands in a file, without an import of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    made = ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), made.__dict__)
    return made


def test_the_innermost_own_line(tmp_path: Path) -> None:
    mine = module(
        tmp_path / "mine.py",
        "def outer():\n    inner()\ndef inner():\n    raise KeyError('test')\n",
    )
    assert told(mine.outer) == "KeyError: 'test' (mine.py, line 4)"


def test_it_is_not_a_line_of_the_standard_library_or_of_robustlr(tmp_path: Path) -> None:
    source = "def f(call, text):\n    return call(text)\n"
    mine = module(tmp_path / "mine.py", source)
    assert told(lambda: mine.f(json.loads, "{")).endswith(" (mine.py, line 2)")
    assert told(lambda: mine.f(parse, "nothing")).endswith(" (mine.py, line 2)")


def test_it_is_not_a_line_of_an_installed_package(tmp_path: Path) -> None:
    source = "def f():\n    raise ValueError('two\\nlines')\n"
    theirs = module(tmp_path / "lib" / "site-packages" / "theirs.py", source)
    mine = module(tmp_path / "mine.py", "def f(call):\n\n    call()\n")
    assert told(lambda: mine.f(theirs.f)) == "ValueError: two lines (mine.py, line 3)"


def test_there_may_be_no_such_line() -> None:
    assert located(ValueError("nobody's")) == "ValueError: nobody's"


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_more.py").write_text("\nimport nothing_of_that_name\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    said = "ModuleNotFoundError: No module named 'nothing_of_that_name' (needs_more.py, line 2)"
    assert told(lambda: __import__("needs_more")) == said
