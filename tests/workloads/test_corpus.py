"""Rows of text by split: named splits, held-out ones, and WikiText's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustlr.errors import DataError, SpecError
from robustlr.workloads import Split
from robustlr.workloads.corpus import RowsOfText, WikiTextFiles
from robustlr.workloads.hub import Source
from tests.workloads.texts_on_disk import (
    sentences,
    write_rows,
    write_wikitext,
    write_wikitext_files,
)

SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def rows_of(path: Path, **options: Any) -> dict[Split, list[str]]:
    corpus = RowsOfText(Source(str(path)), **options)
    return {split: list(corpus.texts(split)) for split in SPLITS}


def test_the_parquet_of_the_hub_and_the_owners_files_are_the_same_text(tmp_path: Path) -> None:
    hub = RowsOfText(Source(str(write_wikitext(tmp_path / "hub")), "wikitext-103-raw-v1"))
    files = WikiTextFiles.found_in(str(write_wikitext_files(tmp_path / "files")))
    assert files is not None
    assert WikiTextFiles.found_in(str(tmp_path / "hub")) is None
    for seed, split in enumerate(SPLITS):
        expected = sentences(300 if split == "train" else 60, seed)
        assert list(hub.texts(split)) == expected
        assert list(files.texts(split)) == expected


@pytest.mark.parametrize("missing", [("valid",), ("test",), ("valid", "test")])
def test_a_split_without_a_name_is_held_out_and_shares_nothing(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    rows = [f"row {k}" for k in range(41)]
    for split in ("train", "validation", "test"):
        write_rows(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows)
    found = rows_of(tmp_path / "data", held_out=0.1, **dict.fromkeys(missing, ""))
    held = [row for split in missing for row in found[split]]  # type: ignore[index]
    assert all(len(found[split]) == 4 for split in missing)  # type: ignore[index]
    assert found["train"] + held == rows
    for split in {"valid", "test"} - set(missing):
        assert found[split] == rows  # type: ignore[index]


def test_lines_of_a_text_file_come_back_with_their_breaks(tmp_path: Path) -> None:
    lines = [f"line {k}" for k in range(20)]
    (tmp_path / "book.txt").write_text("\n".join(lines) + "\n")
    found = rows_of(tmp_path / "book.txt", valid="", test="", held_out=0.1, separator="\n")
    assert "".join(found["train"] + found["valid"] + found["test"]) == "\n".join(lines) + "\n"


def test_too_few_rows_to_hold_any_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "data.parquet", ["one", "two", "three"])
    with pytest.raises(DataError, match=r"held_out = 0.1 of 3 rows leaves no row for the valid"):
        rows_of(tmp_path / "data.parquet", valid="", test="", held_out=0.1)


@pytest.mark.parametrize("separator", ["", "\n", "<|endoftext|>"])
def test_rows_of_nothing_but_their_separators_are_no_text(tmp_path: Path, separator: str) -> None:
    for split, rows in (("train", ["a"]), ("validation", ["", " \n"]), ("test", ["b"])):
        write_rows(tmp_path / f"{split}-00000-of-00001.parquet", rows)
    with pytest.raises(DataError, match="valid split: there is no text, every row is empty"):
        rows_of(tmp_path, separator=separator)


def test_wikitext_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "wiki.train.tokens").write_bytes("naïve\n".encode())
    (tmp_path / "wiki.test.raw").write_bytes("naïve\n".encode("latin-1"))
    corpus = WikiTextFiles(tmp_path)
    assert list(corpus.texts("train")) == ["naïve\n"]
    with pytest.raises(DataError, match=r"has neither wiki.valid.raw nor wiki.valid.tokens"):
        list(corpus.texts("valid"))
    with pytest.raises(DataError, match=r"wiki.test.raw: is not UTF-8 text: "):
        list(corpus.texts("test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": ""}, "train_split must name a split, got ''"),
        ({"held_out": 0.0}, r"held_out must be in \(0, 0.5\), got 0.0"),
        ({"held_out": 0.5}, r"held_out must be in \(0, 0.5\), got 0.5"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        RowsOfText(Source("x"), **options)
