"""The folder of a study."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robustlr.errors import StorageError
from robustlr.records import RunPaths


def test_every_path_is_inside_and_no_two_are_one(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    found = [
        paths.spec,
        paths.journal,
        paths.run_lock,
        paths.report,
        paths.cell("a"),
        paths.cell("b"),
        paths.cell_log("a"),
        paths.worker_log("a"),
        paths.worker_lock("a"),
    ]
    assert len(set(found)) == len(found)
    assert all(path.is_relative_to(tmp_path) for path in found)


def test_folders_are_made_and_made_again(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "runs" / "deep")
    paths.create()
    paths.create()
    assert all(folder.is_dir() for folder in (paths.cells, paths.logs, paths.locks))


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot be made: .*; choose another with --out"):
        RunPaths(tmp_path / "runs" / "study").create()


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(StorageError, match="no permission to write; choose another with --out"):
        RunPaths(tmp_path / "study").create()
