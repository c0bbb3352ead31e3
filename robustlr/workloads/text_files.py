"""Text from files, cut into training, validation and test parts that share nothing.

The files stand in the order of their paths, and of files with the same content the first counts.
Ten or more are dealt out whole: of every ten, the ninth is for validation and the tenth for test.
Fewer are joined, and cut once each at 80 % and at 90 %.
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from robustlr.errors import DataError
from robustlr.workloads.base import Split

_LEAST_DEALT = 10
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@dataclass(frozen=True)
class Text:
    """The bytes of each split. version: what was read, for the record, with its hash."""

    parts: Mapping[Split, bytes]
    version: str


@lru_cache(maxsize=2)
def read_text(path: str | None) -> Text:
    """The text under `path`; read once per process.

    path: a file, a folder (all files in it, hidden ones apart), or a pattern, in which ** stands
    for any folders; None: the source of the Python standard library on this machine, without its
    tests. Raises DataError where there is nothing to read.
    """
    files = _library() if path is None else _matching(path)
    contents: dict[bytes, None] = {}  # in order, each once
    for file in files:
        try:
            contents.setdefault(file.read_bytes())
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    contents.pop(b"", None)
    texts = list(contents)
    if not texts:
        raise DataError(f"{path or 'the standard library'}: there is no text, every file is empty")
    digest = hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    source = f"standard library of Python {platform.python_version()}" if path is None else path
    size = sum(map(len, texts))
    files_and_bytes = f"{len(texts)} file{'s' * (len(texts) > 1)}, {size:,} bytes"
    return Text(_dealt(texts), f"{source}: {files_and_bytes}, sha256 {digest}")


def _dealt(texts: list[bytes]) -> dict[Split, bytes]:
    if len(texts) >= _LEAST_DEALT:
        last = {8: "valid", 9: "test"}
        dealt: dict[Split, list[bytes]] = {"train": [], "valid": [], "test": []}
        for position, text in enumerate(texts):
            dealt[last.get(position % 10, "train")].append(text)  # type: ignore[index]
        return {split: b"\n".join(part) for split, part in dealt.items()}
    joined = b"\n".join(texts)
    first, second = len(joined) * 8 // 10, len(joined) * 9 // 10
    return {"train": joined[:first], "valid": joined[first:second], "test": joined[second:]}


def _library() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        file
        for file in root.rglob("*.py")
        if not _NOT_LIBRARY.intersection(file.relative_to(root).parts)
    ]
    if not files:
        raise DataError(f"no source of the standard library under {root}: give a path to any text")
    return sorted(files, key=lambda file: file.relative_to(root).parts)


def _matching(path: str) -> list[Path]:
    pattern = os.path.expanduser(path)
    root = Path(pattern)
    if root.is_file():
        return [root]
    if root.is_dir():
        found = [file for file in root.rglob("*") if file.is_file()]
        kept = [file for file in found if not _hidden(file.relative_to(root))]
    else:
        kept = [Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file()]
    if not kept:
        here = "" if root.is_absolute() else f" in {Path.cwd()}"
        reason = "the folder holds no file" if root.is_dir() else f"no such file or folder{here}"
        raise DataError(f"path = '{path}': {reason}")
    return sorted(kept, key=lambda file: file.parts)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
