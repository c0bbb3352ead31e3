"""Who is alive: a lock file per process, released by the kernel however the process ends.

Beside the lock stands who holds it, for whoever wants to end that process.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from robustlr.errors import StorageError

_GLANCE_SECONDS = 0.5  # more than `is_held` of another process takes


def hold(path: Path) -> FileLock | None:
    """The lock at `path`, held until released or until this process ends; None if taken.

    Raises StorageError where the file cannot be made.
    """
    lock = _acquired(path, patience=_GLANCE_SECONDS)
    if lock is not None:
        me = psutil.Process()
        with suppress(OSError):  # a full disk: then nobody can tell, which harms little
            _who(path).write_text(f"{me.pid} {me.create_time()} {boot()}", encoding="utf-8")
    return lock


def holder(path: Path) -> psutil.Process | None:
    """The process that holds the lock at `path`; None where no process of this machine does."""
    if not is_held(path):
        return None
    try:
        pid, started, machine = _who(path).read_text(encoding="utf-8").split(" ", 2)
        process = psutil.Process(int(pid))
        # a number may be another process's by now, or another machine's
        mine = machine == boot() and process.create_time() == float(started)
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return process if mine else None


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at `path`."""
    if not path.exists():
        return False
    lock = _acquired(path, patience=0.0)
    if lock is None:
        return True
    lock.release()
    return False


@cache
def boot() -> str:
    """Names this machine since it was started: lock files mean nothing on any other."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        started = ""
    return f"{socket.gethostname()} {started}"


def _who(path: Path) -> Path:
    return path.with_suffix(".pid")


def _acquired(path: Path, *, patience: float) -> FileLock | None:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be locked: {error.strerror}") from error
    return lock
