"""A lock tells who is alive, whatever became of its holder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from robustlr.errors import StorageError
from robustlr.study import hold, holder, is_held
from robustlr.study.locks import boot, is_free

_HOLD = """
import sys, time, pathlib
from robustlr.study.locks import hold
lock = hold(pathlib.Path(sys.argv[1]))
assert lock is not None
print("held", flush=True)
time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_held(path)
    lock = hold(path)
    assert lock is not None
    assert hold(path) is None
    assert is_held(path)
    lock.release()
    assert not is_held(path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_held(path)
        found = holder(path)
        assert found is not None
        assert found.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not is_held(path)
    assert holder(path) is None


@pytest.mark.parametrize(
    "told", ["", "1", "x {boot}", "{parent} {boot}", "{pid} elsewhere", "999999999 {boot}"]
)
def test_a_holder_is_believed_only_where_it_can_be_right(told: str, tmp_path: Path) -> None:
    path, me = tmp_path / "a.lock", psutil.Process()
    lock = hold(path)
    assert lock is not None
    assert holder(path) == me
    text = told.format(pid=me.pid, parent=me.ppid(), boot=boot())
    path.with_suffix(".pid").write_text(text)
    assert holder(path) is None
    lock.release()


def test_looks_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # somebody else's look
        assert not is_held(path)
        assert is_free(path)


def test_what_cannot_be_seen_is_neither_held_nor_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock file of a worker in another container, or in a folder that is another's."""
    path = tmp_path / "a.lock"
    assert not is_held(path)
    assert not is_free(path)
    path.touch()

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert not is_held(path)
    assert not is_free(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be locked"):
        hold(tmp_path / "file" / "a.lock")
