"""Small texts in the form their owners ship them, written by the tests that need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.workloads.datasets_on_disk import write_parquet

_WORDS = (
    "the", "old", "river", "carries", "seven", "small", "boats", "past", "a", "quiet", "town",
    "where", "nobody", "sails", "them",
)  # fmt: skip


def sentences(count: int, seed: int) -> list[str]:
    """Sentences in the manner of WikiText: tokens apart, a heading now and then, empty rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        if number % 10 == 0:
            rows += ["", f" = Article {seed} . {number} = \n", ""]
        words = rng.choice(_WORDS, size=rng.integers(8, 20))
        rows.append(f" {' '.join(words)} @-@ {rng.integers(1000)} . \n")
    return rows


def write_rows(file: Path, rows: Sequence[str], column: str = "text") -> None:
    feature = {column: {"dtype": "string", "_type": "Value"}}
    write_parquet(file, {column: pa.array(rows, pa.string())}, feature)


def write_wikitext(folder: Path, *, train: int = 300, held: int = 60) -> Path:
    """Salesforce/wikitext: wikitext-103-raw-v1/{train,validation,test}-*.parquet, column text."""
    for seed, (split, shards) in enumerate((("train", 2), ("validation", 1), ("test", 1))):
        rows = sentences(train if split == "train" else held, seed)
        for shard, part in enumerate(np.array_split(np.array(rows), shards)):
            name = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
            write_rows(folder / "wikitext-103-raw-v1" / name, part.tolist())
    return folder


def write_wikitext_files(folder: Path, *, train: int = 300, held: int = 60) -> Path:
    """The same text as the owners' archive has it: wiki.{train,valid,test}.raw."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, split in enumerate(("train", "valid", "test")):
        rows = sentences(train if split == "train" else held, seed)
        text = "".join(row or " \n" for row in rows)
        (folder / f"wiki.{split}.raw").write_text(text, encoding="utf-8")
    return folder
