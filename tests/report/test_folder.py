"""A failure at any moment leaves the old report or the new one, never half of one."""

from __future__ import annotations

from pathlib import Path

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
    ("operation", "at"),
    [("write_bytes", 0), ("write_bytes", 2), ("rename", 0), ("rename", 1)],
)
def test_a_failure_at_any_operation_keeps_the_old(
    operation: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    replace_folder(out, OLD)
    original = getattr(Path, operation)
    calls = iter(range(100))

    def failing(self: Path, *arguments: object) -> object:
        if next(calls) == at:
            raise OSError(28, "No space left on device")
        return original(self, *arguments)

    monkeypatch.setattr(Path, operation, failing)
    with pytest.raises(StorageError, match="No space left on device"):
        replace_folder(out, NEW)
    assert content(out) == OLD
    assert list(tmp_path.iterdir()) == [out]


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
