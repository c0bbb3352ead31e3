"""Files are whole or not there, and what killed writers left goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from robustlr.errors import StorageError
from robustlr.files import remove_leftovers, write_atomic


def test_a_file_that_cannot_be_replaced_holds_what_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="file: cannot be written: No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("ahead", [-86400.0, 0.0, 86400.0])
def test_temporary_files_go_once_nobody_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Whatever our own clock says."""
    for name, age in (".a.1-f.tmp", 0), (".b.2-f.tmp", 500), (".c.3-f.tmp", 700), ("d.tmp", 700):
        (tmp_path / name).write_bytes(b"half")
        changed = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (changed, changed))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + ahead)
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.1-f.tmp", ".b.2-f.tmp", "d.tmp"]


def test_a_folder_that_is_not_there_has_no_leftovers(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
