"""The results of a study at an address of fsspec: s3://, gs://, az://, sftp:// and others.

Results are written on the worker's own disk first, whole, and put there as one object each: an
object store shows the whole object or none. They are fetched into the local folder before
anything is planned or measured; what does not read as a result is not fetched, since a file system
without that promise may show one half written.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from robustlr.errors import DataError, StorageError, one_line
from robustlr.files import write_atomic
from robustlr.records.files import read_record, standing_result
from robustlr.records.paths import RunPaths
from robustlr.records.record import RunStatus
from robustlr.specs import StudySpec, without_password

T = TypeVar("T")

_TRIES = 5
_FIRST_PAUSE = 0.5  # seconds; doubles


def remote_of(spec: StudySpec, paths: RunPaths) -> Remote | None:
    """Where the study's results are beside `paths`, if anywhere."""
    return Remote(spec.execution.results, paths) if spec.execution.results else None


def pull_results(spec: StudySpec, paths: RunPaths) -> None:
    """Bring here what other machines have put there. Raises StorageError."""
    remote = remote_of(spec, paths)
    if remote is not None:
        remote.pull()


def push_results(spec: StudySpec, paths: RunPaths) -> None:
    """Put there what never arrived: of a worker that was cut off. Raises StorageError."""
    remote = remote_of(spec, paths)
    if remote is not None:
        remote.push_missing()


class Remote:
    """The folder `url`, of which `paths` is the local copy. Methods raise StorageError."""

    def __init__(self, url: str, paths: RunPaths) -> None:
        self._url, self._paths = url, paths
        self.shown = without_password(url)

    def push(self, name: str) -> None:
        """Put the local file `name`, such as "spec.json", there, in place of what is there."""
        data = (self._paths.root / name).read_bytes()
        self._try("written", lambda fs, root: _put(fs, f"{root}/{name}", data))

    def push_result(self, key: str) -> None:
        """Put the result of a cell there."""
        self.push(self._result(key))

    def fetch(self, name: str) -> bool:
        """Bring the file `name` here, in place of what is here; False where there is none."""
        data = self._try("read", lambda fs, root: _contents(fs, f"{root}/{name}"))
        if data is None:
            return False
        write_atomic(self._paths.root / name, data)
        return True

    def fetch_result(self, key: str) -> bool:
        """Bring the result of a cell here; False where there is none that reads as one, or a
        failure where a result stands here.

        Its file has the time of the one there, which tells how fast the study goes.
        """
        aside = self._paths.root / f".{key}.{secrets.token_hex(4)}.tmp"
        name = self._result(key)
        data = self._try("read", lambda fs, root: _contents(fs, f"{root}/{name}"))
        if data is None:
            return False
        fs, root = self._place
        when = _modified(fs, f"{root}/{name}")
        try:
            write_atomic(aside, data)
            record = read_record(aside)
        except DataError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        if record.status is RunStatus.FAILED and standing_result(self._paths.cell(key)) is not None:
            return False
        write_atomic(self._paths.cell(key), data)
        if when is not None:
            with suppress(OSError):  # another process may have replaced or removed it
                os.utime(self._paths.cell(key), (when, when))
        return True

    def results(self) -> dict[str, int]:
        """Cell keys of the results there, with their sizes in bytes."""
        folder = self._paths.cells.name
        found = self._try("listed", lambda fs, root: _listing(fs, f"{root}/{folder}"))
        return {
            name.rpartition("/")[2].removesuffix(".parquet"): size
            for name, size in found.items()
            if name.endswith(".parquet")
        }

    def pull(self) -> None:
        """Bring the spec here, and every result that is missing here or differs in size."""
        self._paths.create()
        self.fetch(self._paths.spec.name)
        here = self._sizes()
        for key, size in self.results().items():
            if here.get(key) != size:
                self.fetch_result(key)

    def push_missing(self) -> None:
        """Put there every result that stands here and is missing there or differs in size."""
        there = self.results()
        for key, size in self._sizes().items():
            if there.get(key) != size and standing_result(self._paths.cell(key)) is not None:
                self.push_result(key)

    def _sizes(self) -> dict[str, int]:
        """Cell keys of the results here, with their sizes in bytes."""
        sizes = {}
        for path in self._paths.cells.glob("*.parquet"):
            with suppress(FileNotFoundError):  # put aside at this moment
                sizes[path.stem] = path.stat().st_size
        return sizes

    def _result(self, key: str) -> str:
        return self._paths.cell(key).relative_to(self._paths.root).as_posix()

    @cached_property
    def _place(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError:
            raise StorageError(
                f'results at {self.shown} need fsspec: pip install "robustlr[remote]"'
            ) from None
        try:
            fs, root = fsspec.core.url_to_fs(self._url)
        except (ImportError, ValueError) as error:  # a package for its protocol is missing
            raise StorageError(f"results at {self.shown}: {one_line(str(error))}") from None
        return fs, str(root).rstrip("/")

    def _try(self, what: str, operation: Callable[[Any, str], T]) -> T:
        """The operation's result, after a few tries."""
        pause = _FIRST_PAUSE
        for tries_left in reversed(range(_TRIES)):
            try:
                return operation(*self._place)
            except StorageError:
                raise
            except Exception as error:  # every file system has errors of its own
                if not tries_left:
                    raise StorageError(
                        f"results at {self.shown}: cannot be {what}: "
                        f"{one_line(f'{type(error).__name__}: {error}')}; nothing already computed "
                        "is lost, mend that and run the same command again"
                    ) from error
                time.sleep(pause)
                pause *= 2
        raise AssertionError


def _put(fs: Any, name: str, data: bytes) -> None:
    try:
        fs.pipe_file(name, data)
    except FileNotFoundError:  # object stores have no folders, others want them made
        fs.makedirs(name.rpartition("/")[0], exist_ok=True)
        fs.pipe_file(name, data)


def _contents(fs: Any, name: str) -> bytes | None:
    try:
        return bytes(fs.cat_file(name))
    except FileNotFoundError:
        return None


def _modified(fs: Any, name: str) -> float | None:
    """Seconds since 1970; None where the file system does not tell."""
    try:
        return float(fs.modified(name).timestamp())
    except Exception:  # every file system has errors of its own, and this is no reason to stop
        return None


def _listing(fs: Any, folder: str) -> dict[str, int]:
    fs.invalidate_cache()
    try:
        return {entry["name"]: int(entry["size"] or 0) for entry in fs.ls(folder, detail=True)}
    except FileNotFoundError:
        return {}
