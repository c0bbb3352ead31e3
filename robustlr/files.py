"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from robustlr.errors import StorageError

_ABANDONED_SECONDS = 600.0  # far longer than a writer pauses between two blocks


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, fsync, rename.

    Raises StorageError (full disk, no permission); `path` then still holds what it held.
    """
    # containers that share a folder may have the same process ids
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}; nothing already computed is "
            "lost, mend that and run the same command again"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed.

    Another process, or another machine, may be writing right now: what has changed within ten
    minutes stays. The file system's own clock tells, which nobody else's need agree with.
    """
    with suppress(OSError):  # a full disk or a foreign file: they harm nobody, and stay
        with tempfile.TemporaryFile(dir=folder) as file:
            now = os.fstat(file.fileno()).st_mtime
        for leftover in folder.glob(".*.tmp"):
            with suppress(FileNotFoundError):  # renamed at this moment
                if now - leftover.stat().st_mtime > _ABANDONED_SECONDS:
                    leftover.unlink()
