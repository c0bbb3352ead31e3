"""A failure at any moment leaves the old report or the new one, never half of one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robustlr.errors import StorageError
from robustlr.report.folder import MARKER, replace_folder

OLD = {"report.md": b"old", MARKER: b"{}", "figures/gone.svg": b"x"}
NEW = {"report.md": b"new", MARKER: b"{}", "tables/t.csv": b"y"}


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_new_one_replaces_all_of_the_old(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report"
    replace_folder(out, OLD)
    replace_folder(out, NEW)
    assert content(out) == NEW
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(
    ("where", "operation", "at"),
    [(os, "fsync", 0), (os, "fsync", 2), (Path, "rename", 0), (Path, "rename", 1)],
)
def test_a_failure_at_any_operation_keeps_the_old(
    where: Any, operation: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    replace_folder(out, OLD)
    original = getattr(where, operation)
    calls = iter(range(100))

    def failing(*arguments: object) -> object:
        if next(calls) == at:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(where, operation, failing)
    with pytest.raises(StorageError, match="No space left on device"):
        replace_folder(out, NEW)
    assert content(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


def test_what_killed_processes_left_is_removed_when_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    gone, out = process.pid, tmp_path / "report"
    mine = {".report.mine.new", f".report.{os.getppid()}.new", f".other.{gone}.new"}
    killed = {f".report.{gone}.new", f".report.{gone}.old"}
    for name in mine | killed:
        (tmp_path / name / "figures").mkdir(parents=True)
    replace_folder(out, NEW)
    assert {path.name for path in tmp_path.iterdir()} >= killed  # another machine's, perhaps
    monkeypatch.setattr("robustlr.report.folder._ABANDONED_SECONDS", -1.0)
    replace_folder(out, NEW)
    assert {path.name for path in tmp_path.iterdir()} == {"report", *mine}


def test_an_empty_folder_may_be_used_and_others_may_not(tmp_path: Path) -> None:
    replace_folder(tmp_path / "a", NEW)
    (tmp_path / "b").mkdir()
    replace_folder(tmp_path / "b", NEW)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").touch()
    (tmp_path / "file").touch()
    for name in ("c", "file"):
        with pytest.raises(StorageError, match="is no report"):
            replace_folder(tmp_path / name, NEW)


def test_the_current_folder_and_a_link_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    replace_folder(Path(), NEW)
    assert content(tmp_path / "here") == NEW
    (tmp_path / "link").symlink_to(tmp_path / "here")
    replace_folder(tmp_path / "link", OLD)
    assert content(tmp_path / "here") == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "link"]
