"""The one door to Hugging Face `datasets`: the named columns of one split, from this machine.

A path is a local folder (Parquet, an imagefolder, text, JSON or CSV, laid out as `datasets`
expects: https://huggingface.co/docs/datasets/repository_structure), a local file, or a hub id.
What is local never touches the network. A hub id is looked for in the hub's cache, and nowhere
else: a study of a thousand cells must not begin a download of its own, so where the data is
missing the error says which command gets it. `datasets` keeps what it has read as Arrow files
under HF_DATASETS_CACHE, made once for all processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustlr.errors import DataError, one_line

_READERS = {".parquet": "parquet", ".txt": "text", ".json": "json", ".jsonl": "json", ".csv": "csv"}
# how `datasets` and pandas complain of a file that holds nothing
_NOTHING = ("SchemaInferenceError", "EmptyDataError", "StopIteration")
_MOST_NAMED = 3
_UNLABELLED = (
    ": photographs in folders are labelled by the names of the folders, which must be two or more"
)


@dataclass(frozen=True)
class Source:
    """Where data is. path: folder, file or hub id. subset: configuration or subfolder, if any.

    size: of the download and its licence, in words; terms: what must be done first; files: those
    of the hub that are needed, as a pattern, or all; for the error where the data is missing.
    """

    path: str
    subset: str = ""
    size: str = ""
    terms: str = ""
    files: str = ""

    @property
    def folder(self) -> Path:
        """The file or folder on this machine. Raises DataError that says how to get it."""
        local = Path(self.path).expanduser()
        if self.path and local.exists():
            return local
        _datasets()
        import huggingface_hub as hub

        try:
            return Path(
                hub.snapshot_download(self.path, repo_type="dataset", local_files_only=True)
            )
        except hub.errors.HFValidationError:
            raise DataError(f"path = '{self.path}': no such file or folder") from None
        except hub.errors.LocalEntryNotFoundError:
            size = self.size or f"its size is on https://huggingface.co/datasets/{self.path}"
            about = "".join(f"; {note}" for note in (size, self.terms) if note)
            some = f" --include '{self.files}'" if self.files else ""
            raise DataError(
                f"'{self.path}' is no file or folder here, and as a dataset of the hub it is not "
                f"on this machine{about}; get it with `hf download {self.path} --repo-type "
                f"dataset{some}`; it is looked for in {hub.constants.HF_HUB_CACHE} (HF_HOME moves "
                "it), or name its folder as path"
            ) from None


class Rows:
    """The columns of one split, read row by row or whole; cheap to send to another process."""

    def __init__(self, table: Any, where: str) -> None:
        self._table, self._where = table, where

    def __len__(self) -> int:
        return len(self._table)

    def class_names(self, column: str) -> list[str] | None:
        """The names of a label column's classes, where the data tells them."""
        return getattr(self._table.features[column], "names", None)

    def integers(self, column: str) -> npt.NDArray[np.int64]:
        """A whole column of integers. Raises DataError where it holds anything else."""
        values = self._table.data.column(column)
        if not _arrow().types.is_integer(values.type) or values.null_count:
            raise DataError(f"{self._where}: column '{column}' must hold whole numbers, all given")
        return values.to_numpy().astype(np.int64)  # type: ignore[no-any-return]

    def texts(self, column: str) -> Iterator[str]:
        """The strings of a column, one after the other, a few in memory at a time."""
        kind = self._table.data.column(column).type
        if not (_arrow().types.is_string(kind) or _arrow().types.is_large_string(kind)):
            raise DataError(f"{self._where}: column '{column}' must hold text")
        for part in self._table.select_columns([column]).iter(batch_size=1000):
            for text in part[column]:
                if text is None:
                    raise DataError(f"{self._where}: column '{column}' has a row without text")
                yield text

    def encoded_images(self, column: str) -> EncodedImages:
        """The files of an image column, not decoded. Raises DataError where it is none."""
        images = _datasets().Image(decode=False)
        feature = self._table.features[column]
        is_pair = isinstance(feature, dict) and set(feature) == {"bytes", "path"}
        if not isinstance(feature, type(images)) and not is_pair:
            raise DataError(f"{self._where}: column '{column}' holds no images")
        table = self._table.select_columns([column]).cast_column(column, images)
        return EncodedImages(table, column, self._where)


class EncodedImages:
    """Image files by index, as they are stored. `name` says which one, for messages."""

    def __init__(self, table: Any, column: str, where: str) -> None:
        self._table, self._column, self._where = table, column, where

    def __len__(self) -> int:
        return len(self._table)

    def name(self, index: int) -> str:
        path = (self._table[index][self._column] or {}).get("path")
        return f"{self._where}: image {index}" + (f" ({path})" if path else "")

    def __getitem__(self, index: int) -> bytes:
        file = self._table[index][self._column] or {}
        data: bytes | None = file.get("bytes")
        if data is None and not file.get("path"):
            raise DataError(f"{self._where}: row {index} has no image")
        try:
            data = Path(file["path"]).read_bytes() if data is None else data
        except OSError as error:
            raise DataError(f"{self.name(index)} cannot be read: {error.strerror}") from error
        if not data:
            raise DataError(f"{self.name(index)} is empty")
        return data


def load_rows(source: Source, split: str, columns: Sequence[str]) -> Rows:
    """The named columns of the named split.

    Raises DataError: `datasets` or the data is not here, no such subset, split or column (with
    those that there are), no rows, or a file that cannot be read.
    """
    where = f"{source.path}" + (f" ({source.subset})" if source.subset else "")
    splits = _load(source, where)
    if split not in splits:
        raise DataError(f"{where} has no split '{split}', but {', '.join(splits)}")
    table = splits[split]
    for column in columns:
        if column not in table.column_names:
            known = ", ".join(table.column_names)
            hint = _UNLABELLED if table.column_names == ["image"] else ""
            raise DataError(
                f"{where}, split '{split}', has no column '{column}', but {known}{hint}"
            )
    return Rows(table.select_columns(list(columns)), f"{where}, split '{split}'")


def _load(source: Source, where: str) -> Any:
    """Every split, by name."""
    # absolute, or `datasets` takes a folder called text for its own reader of that name
    datasets, folder = _datasets(), source.folder.absolute()
    options: dict[str, Any]
    if folder.is_file():
        if folder.suffix not in _READERS:
            raise DataError(f"{where}: a file must be one of {', '.join(_READERS)}")
        options = {"path": _READERS[folder.suffix], "data_files": {"train": str(folder)}}
    elif source.subset and (folder / source.subset).is_dir():
        options = {"path": str(folder / source.subset)}
    else:
        options = {"path": str(folder)} | ({"name": source.subset} if source.subset else {})
    try:
        with _quiet(datasets):
            return datasets.load_dataset(**options)
    except Exception as error:  # of every kind: pyarrow's, datasets', pandas', the system's
        _blame_empty(folder, where, error)
        _blame_parquet(folder, where, error)
        cause = error.__cause__ or error
        reason = one_line(str(cause)) or type(cause).__name__
        raise DataError(f"{where} cannot be read: {reason[:300]}") from error


def _blame_empty(folder: Path, where: str, error: Exception) -> None:
    """Raise DataError where text files under `folder` hold nothing, and that is the error."""
    if "no data!" not in str(error) and type(error.__cause__ or error).__name__ not in _NOTHING:
        return
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    texts = [file for file in files if file.suffix in _READERS.keys() - {".parquet"}]
    empty = [str(file) for file in texts if not file.stat().st_size]
    if empty:
        names = ", ".join(empty[:_MOST_NAMED])
        raise DataError(f"{where}: {names} {'are' if len(empty) > 1 else 'is'} empty") from error


def _blame_parquet(folder: Path, where: str, error: Exception) -> None:
    """Raise DataError where a Parquet file under `folder` is why it could not be read.

    Only a complaint of Arrow's is looked into: first all footers, then, until the file is found,
    what they lead to, which is as much as `datasets` read before it complained.
    """
    from pyarrow import parquet

    cause = error.__cause__
    of_arrow = type(cause).__module__.startswith("pyarrow")
    if not of_arrow and not (isinstance(cause, OSError) and cause.errno is None):
        return  # an OSError with a number is the system's: no space, no permission
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.parquet"))
    files = [file for file in files if file.suffix == ".parquet"]
    for whole in (False, True):
        for file in files:
            try:
                opened = parquet.ParquetFile(file)
                rows = opened.metadata.num_rows
                if whole:
                    for _ in opened.iter_batches():
                        pass
            except Exception:
                message = f"{where}: {file} is damaged: fetch or make it again"
                raise DataError(message) from error
            if not rows:
                raise DataError(f"{where}: {file} has no rows") from error


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without progress bars and log lines: a worker's output belongs to its study."""
    level, shown = datasets.logging.get_verbosity(), datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if shown:
            datasets.enable_progress_bars()


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            'Hugging Face datasets is not installed: pip install "robustlr[hf]"'
        ) from error
    return datasets


def _arrow() -> Any:
    import pyarrow

    return pyarrow
