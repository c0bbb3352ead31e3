"""Who is alive: a lock file per process, released by the kernel however the process ends."""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from robustlr.errors import StorageError

_GLANCE_SECONDS = 0.5  # more than `is_held` of another process takes


def hold(path: Path) -> FileLock | None:
    """The lock at `path`, held until released or until this process ends; None if taken.

    Raises StorageError where the file cannot be made.
    """
    return _acquired(path, patience=_GLANCE_SECONDS)


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


def _acquired(path: Path, *, patience: float) -> FileLock | None:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be locked: {error.strerror}") from error
    return lock
