"""A folder that is either the whole old report or the whole new one.

Two renames make the change: a process killed between them leaves neither under the name, and the
old one beside it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from robustlr.errors import StorageError

MARKER = "provenance.json"


def replace_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (relative path → content) as the folder `out`, replacing a former report.

    Everything is written beside `out` and renamed. Raises StorageError where that cannot be done,
    or where `out` holds anything but a report.
    """
    out = out.resolve()  # "." has no name to put anything beside, a link would be replaced
    if out.exists() and not _is_report(out):
        raise StorageError(f"{out}: exists and is no report; choose another folder with --out")
    beside = out.with_name(f".{out.name}.{os.getpid()}.new")
    former = out.with_name(f".{out.name}.{os.getpid()}.old")
    try:
        _discard(beside)
        for name, content in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if out.exists():
            _discard(former)
            out.rename(former)
        beside.rename(out)
    except OSError as error:
        if former.exists() and not out.exists():
            with suppress(OSError):
                former.rename(out)
        with suppress(OSError):
            _discard(beside)
        raise StorageError(f"{out}: cannot be written: {error.strerror}") from error
    with suppress(OSError):
        _discard(former)


def _is_report(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MARKER).is_file() or not any(folder.iterdir()))


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
