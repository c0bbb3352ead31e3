"""The journal survives what a killed process leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robustlr.errors import StorageError
from robustlr.study.journal import Journal


def logs(journal: Journal, start: int = 0) -> list[int]:
    return [log["n"] for log in journal.read_logs(start)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def test_reads_what_was_appended_from_any_number(path: Path) -> None:
    journal = Journal(path)
    journal.append_logs([{"n": 0}, {"n": 1}])
    journal.append_logs([{"n": 2}])
    assert logs(journal) == [0, 1, 2]
    assert logs(Journal(path), 2) == [2]


@pytest.mark.parametrize("torn", [b'{"n": 99', b"{", b'{"n": 99}', b"\xff\xfe"])
def test_a_torn_tail_is_cut_off_by_the_next_writer(path: Path, torn: bytes) -> None:
    Journal(path).append_logs([{"n": 0}, {"n": 1}])
    with open(path, "ab") as file:
        file.write(torn)
    journal = Journal(path)
    journal.append_logs([{"n": 2}])
    assert logs(journal) == [0, 1, 2]


def test_a_journal_that_is_only_a_torn_line(path: Path) -> None:
    path.write_bytes(b'{"n": 5')
    journal = Journal(path)
    journal.append_logs([{"n": 0}])
    assert logs(journal) == [0]


def test_a_damaged_middle_is_one_clear_line(path: Path) -> None:
    Journal(path).append_logs([{"n": 0}, {"n": 1}])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + lines[1])
    with pytest.raises(StorageError, match=r"is damaged after line 1; .* results are kept") as info:
        logs(Journal(path))
    assert "\n" not in str(info.value)


def test_one_write_gathers_and_is_visible_inside(path: Path) -> None:
    journal = Journal(path)
    journal.append_logs([{"n": 0}])
    with journal.one_write():
        journal.append_logs([{"n": 1}])
        journal.append_logs([{"n": 2}])
        assert logs(journal) == [0, 1, 2]
        assert logs(journal, 2) == [2]
        assert logs(Journal(path)) == [0]  # others see nothing yet
    assert logs(Journal(path)) == [0, 1, 2]


def test_one_write_that_raises_leaves_nothing(path: Path) -> None:
    journal = Journal(path)

    def interrupted_write() -> None:
        with journal.one_write():
            journal.append_logs([{"n": 1}])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted_write()
    assert logs(journal) == []
    journal.append_logs([{"n": 0}])
    assert logs(journal) == [0]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        Journal(tmp_path / "absent" / "journal.log")


def test_a_full_disk_says_that_nothing_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.append_logs([{"n": 0}])

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("robustlr.study.journal.open", full, raising=False)
    with pytest.raises(StorageError, match="No space left on device; nothing already computed"):
        journal._append([{"n": 1}])
