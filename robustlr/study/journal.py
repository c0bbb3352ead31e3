"""The study's queue in one append-only file that survives `kill -9` at any byte.

Optuna's own file backend locks with a symbolic link, which a killed process leaves behind, and
refuses a journal whose last line was cut short. Here the lock is the kernel's (it dies with its
holder), and whoever takes it first cuts off a torn tail.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from robustlr.errors import StorageError

Log = dict[str, Any]


class Journal(BaseJournalBackend):
    """A journal file. Raises StorageError where it cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # not journal.log.lock, which Optuna's own writers (its dashboard) take for theirs
        self._lock = FileLock(path.with_suffix(".lock"))
        self._pending: list[Log] | None = None
        self._written = 0  # logs read from the file: all of them while `one_write` holds the lock
        try:
            self._reader = JournalFileBackend(str(path))
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror}") from error

    def read_logs(self, log_number_from: int) -> Generator[Log, None, None]:
        if self._pending is None or log_number_from < self._written:
            yield from self._read(log_number_from)
        if self._pending is not None:
            yield from self._pending[max(log_number_from - self._written, 0) :]

    def _read(self, first: int) -> Generator[Log, None, None]:
        """The logs in the file from number `first` on.

        The reader knows the places of those it has read itself, not of those we wrote; it would
        start over from the file's beginning.
        """
        number = min(first, self._written)
        try:
            for log in self._reader.read_logs(number):
                number += 1
                self._written = max(self._written, number)
                if number > first:
                    yield log
        except ValueError as error:
            raise StorageError(
                f"{self._path}: is damaged after line {number}; move it away and run the same "
                "command again: results are kept, only the queue is made anew"
            ) from error
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be read: {error.strerror}") from error

    def append_logs(self, logs: list[Log]) -> None:
        if self._pending is not None:
            self._pending.extend(logs)
            return
        with self._locked():
            self._append(logs)

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Gather every operation inside into a single write; others wait."""
        with self._locked():
            for _ in self._read(self._written):
                pass
            self._pending = []
            try:
                yield
                pending = self._pending
            finally:
                self._pending = None
            self._append(pending)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            try:
                self._cut_torn_tail()
            except OSError as error:
                raise StorageError(f"{self._path}: cannot be read: {error.strerror}") from error
            yield

    def _append(self, logs: list[Log]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            with open(self._path, "ab") as file:
                file.write(lines.encode())  # no fsync: a queue lost with the power is made anew
        except OSError as error:
            raise StorageError(
                f"{self._path}: cannot be written: {error.strerror}; nothing already computed is "
                "lost, mend that and run the same command again"
            ) from error

    def _cut_torn_tail(self) -> None:
        with open(self._path, "rb+") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return
            file.seek(size - 1)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
