"""A file system without rename and without folders, as object stores are; its objects are files."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

FOLDER = "ROBUSTLR_TEST_STORE"
"""Environment variable: where the objects are."""


class ObjectStore(AbstractFileSystem):
    """objects://bucket/name. One object is one file under a hashed name, put there at once."""

    protocol = "objects"
    cachable = False

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        file = self._file(path)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(self._strip_protocol(path).encode() + b"\0" + value)
        temporary.replace(file.with_suffix(".object"))

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        return self._file(path).with_suffix(".object").read_bytes().partition(b"\0")[2]

    def modified(self, path: str) -> datetime:
        seconds = self._file(path).with_suffix(".object").stat().st_mtime
        return datetime.fromtimestamp(seconds, UTC)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        prefix = self._strip_protocol(path).rstrip("/") + "/"
        found = []
        for file in Path(os.environ[FOLDER]).glob("*.object"):
            name, _, content = file.read_bytes().partition(b"\0")
            if name.decode().startswith(prefix):
                found.append({"name": name.decode(), "size": len(content), "type": "file"})
        return found if detail else [entry["name"] for entry in found]

    def mv(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("an object store renames nothing")

    def makedirs(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("an object store has no folders")

    def _file(self, path: str) -> Path:
        name = hashlib.sha256(self._strip_protocol(path).encode()).hexdigest()[:24]
        return Path(os.environ[FOLDER]) / name


def register() -> None:
    """Let fsspec know the protocol, in this process."""
    fsspec.register_implementation("objects", ObjectStore, clobber=True)
