"""Who is alive: a lock file per process, released by the kernel however the process ends.

Beside the lock stands who holds it, for whoever wants to end that process.
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from robustlr.errors import StorageError

_GLANCE_SECONDS = 0.5  # more than a look of another process takes


def hold(path: Path) -> FileLock | None:
    """The lock at `path`, held until released or until this process ends; None if taken.

    Raises StorageError where the file cannot be made.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_GLANCE_SECONDS)
    except Timeout:
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be locked: {error.strerror}") from error
    with suppress(OSError):  # a full disk: then nobody can tell, which harms little
        _who(path).write_text(f"{os.getpid()} {boot()}", encoding="utf-8")
    return lock


def holder(path: Path) -> psutil.Process | None:
    """The process that holds the lock at `path`; None where no process of this machine does."""
    if not is_held(path):
        return None
    try:
        pid, machine = _who(path).read_text(encoding="utf-8").split(" ", 1)
        process = psutil.Process(int(pid))
        # a number may be another process's by now, or another machine's
        mine = machine == boot() and str(path.resolve()) in {f.path for f in process.open_files()}
    except (OSError, ValueError, psutil.Error):
        return None
    return process if mine else None


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at `path`; not where that cannot be told."""
    return _taken(path) is True


def is_free(path: Path) -> bool:
    """Whether the file at `path` is there and nobody holds it: who did is gone."""
    return _taken(path) is False


@cache
def boot() -> str:
    """Names this machine since it was started, as far as it shares its file systems: lock files
    mean nothing on any other, nor in another container of the same name.
    """
    found = [socket.gethostname()]
    with suppress(OSError):
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        found.append(os.readlink("/proc/self/ns/mnt"))
    return " ".join(found)


def _who(path: Path) -> Path:
    return path.with_suffix(".pid")


def _taken(path: Path) -> bool | None:
    """Whether somebody holds the lock; None where there is no file, or none that we may read.

    A look shares the lock with other looks, which would take it for held otherwise.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return False
