"""A folder that is either the whole old report or the whole new one.

Two renames make the change: a process killed between them leaves neither under the name, and the
old one beside it. What killed processes left beside it goes with the next report.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from robustlr.errors import StorageError

MARKER = "provenance.json"
_ABANDONED_SECONDS = 3600.0  # longer than another machine's report in the making


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
            with open(path, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
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
    for leftover in (former, *_abandoned(out)):
        with suppress(OSError):
            _discard(leftover)


def _abandoned(out: Path) -> list[Path]:
    """Old folders of killed processes beside `out`, made or moved there for a report."""
    found = []
    for path in out.parent.glob(f".{glob.escape(out.name)}.*"):
        process = re.search(r"\.(\d+)\.(new|old)$", path.name)
        if process is None or psutil.pid_exists(int(process[1])):
            continue
        with suppress(OSError):
            if time.time() - path.stat().st_ctime > _ABANDONED_SECONDS:
                found.append(path)
    return found


def _is_report(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MARKER).is_file() or not any(folder.iterdir()))


def _discard(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
