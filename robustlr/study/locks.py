"""Who is alive: a lock file per process, released by the kernel however the process ends."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from robustlr.errors import StorageError


def hold(path: Path) -> FileLock | None:
    """The lock at `path`, held until released or until this process ends; None if taken.

    Raises StorageError where the file cannot be made.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be locked: {error.strerror}") from error
    return lock


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at `path`."""
    if not path.exists():
        return False
    lock = hold(path)
    if lock is None:
        return True
    lock.release()
    return False
