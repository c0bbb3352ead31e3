"""Texts of the three splits, row by row: from a data set of `datasets`, or from WikiText's files.

A corpus is a frozen description of where its text is: equal ones have the same tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from robustlr.errors import DataError, SpecError
from robustlr.workloads.base import Split
from robustlr.workloads.hub import Source, load_rows


class Corpus(ABC):
    """Where text is."""

    @property
    @abstractmethod
    def name(self) -> str:
        """In words, for messages and records."""

    @abstractmethod
    def texts(self, split: Split) -> Iterator[str]:
        """The rows of a split, in order. Raises DataError where they cannot be read."""


@dataclass(frozen=True)
class RowsOfText(Corpus):
    """A text column of a data set.

    column: its name. train, valid, test: names of the splits; an empty one is held out of the
    training rows, the last `held_out` of them for test and as many before those for validation.
    separator: put behind every row.
    """

    source: Source
    column: str = "text"
    train: str = "train"
    valid: str = "validation"
    test: str = "test"
    held_out: float = 0.05
    separator: str = ""

    def __post_init__(self) -> None:
        if not self.train:
            raise SpecError("train_split must name a split, got ''")
        if not 0.0 < self.held_out < 0.5:
            raise SpecError(f"held_out must be in (0, 0.5), got {self.held_out}")

    @property
    def name(self) -> str:
        subset = f" ({self.source.subset})" if self.source.subset else ""
        return f"{self.source.path}{subset}"

    def texts(self, split: Split) -> Iterator[str]:
        named = {"train": self.train, "valid": self.valid, "test": self.test}[split]
        rows = load_rows(self.source, named or self.train, [self.column])
        first, last = self._share(split, len(rows)) if named in ("", self.train) else (0, len(rows))
        blank = True
        for text in islice(rows.texts(self.column), first, last):
            blank = blank and not text.strip()
            yield text + self.separator
        if blank:  # separators alone would pass for tokens
            raise DataError(f"{self.name}, {split} split: there is no text, every row is empty")

    def _share(self, split: Split, count: int) -> tuple[int, int]:
        """Which of the `count` training rows are a split's own."""
        held = round(self.held_out * count)
        tests, valids = (0 if named else held for named in (self.test, self.valid))
        last = count - tests
        first = last - valids
        if split != "train" and not held:
            raise DataError(
                f"{self.name}: held_out = {self.held_out} of {count} rows leaves no row for the "
                f"{split} split"
            )
        return {"train": (0, first), "valid": (first, last), "test": (last, count)}[split]


@dataclass(frozen=True)
class WikiTextFiles(Corpus):
    """wiki.train.raw, wiki.valid.raw and wiki.test.raw (or .tokens) in a folder, line by line."""

    folder: Path

    @property
    def name(self) -> str:
        return str(self.folder)

    @classmethod
    def found_in(cls, path: str) -> WikiTextFiles | None:
        folder = Path(path).expanduser()
        return cls(folder) if folder.is_dir() and any(folder.glob("wiki.*.*")) else None

    def texts(self, split: Split) -> Iterator[str]:
        files = [self.folder / f"wiki.{split}.{ending}" for ending in ("raw", "tokens")]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise DataError(f"{self.folder} has neither {files[0].name} nor {files[1].name}")
        try:
            with open(file, encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    # as the data set has it: an empty line is an empty row
                    yield line if line.strip() else ""
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: is not UTF-8 text: {error.reason}") from error
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror}") from error
