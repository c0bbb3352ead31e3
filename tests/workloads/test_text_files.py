"""Text files dealt out to three splits that share nothing."""

from __future__ import annotations

import itertools
import os
import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustlr.errors import DataError
from robustlr.workloads.text_files import _dealt, read_text

TEXTS = [f"Text number {k} of its own, {'x' * k}.".encode() for k in range(23)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for position, text in enumerate(TEXTS):
        file = tmp_path / "corpus" / f"part{position % 3}" / f"{position:02d}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    return tmp_path / "corpus"


def splits_of(path: Path) -> list[list[bytes]]:
    parts = read_text(str(path)).parts
    return [[text for text in TEXTS if text in parts[s]] for s in ("train", "valid", "test")]


def test_many_files_are_dealt_out_whole_and_each_once(folder: Path) -> None:
    splits = splits_of(folder)
    assert [len(split) for split in splits] == [19, 2, 2]
    assert sorted(itertools.chain(*splits)) == sorted(TEXTS)


def test_a_pattern_chooses_files(folder: Path) -> None:
    (folder / "part0" / "notes.md").write_text("not this")
    assert b"not this" in b"".join(read_text(str(folder)).parts.values())
    chosen = read_text(str(folder / "**" / "*.txt"))
    assert b"not this" not in b"".join(chosen.parts.values())
    assert f"{folder}/**/*.txt: 23 files, " in chosen.version


def test_hidden_files_and_empty_ones_and_copies_do_not_count(folder: Path) -> None:
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.txt").write_text("hidden")
    (folder / "empty.txt").write_text("")
    (folder / "zz-copy.txt").write_bytes(TEXTS[0])
    joined = b"".join(read_text(str(folder)).parts.values())
    assert b"hidden" not in joined
    assert joined.count(TEXTS[0]) == 1
    assert ": 23 files, " in read_text(str(folder)).version


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=9, unique=True))
def test_few_files_are_cut_into_shares_that_meet(texts: list[bytes]) -> None:
    parts = _dealt(texts)
    assert b"".join(parts.values()) == b"\n".join(texts)
    total = len(b"\n".join(texts))
    assert len(parts["train"]) == total * 8 // 10
    assert abs(len(parts["valid"]) - total / 10) <= 1


def test_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt").write_bytes(b"0123456789" * 10)
    monkeypatch.chdir(tmp_path)
    text = read_text("book.txt")
    assert {split: len(part) for split, part in text.parts.items()} == {
        "train": 80,
        "valid": 10,
        "test": 10,
    }
    assert text.version.startswith("book.txt: 1 file, 100 bytes, sha256 ")


def test_the_version_tells_one_text_from_another(tmp_path: Path) -> None:
    for name, content in (("a", b"one text"), ("b", b"one text"), ("c", b"another")):
        (tmp_path / name).write_bytes(content)
    hashes = [read_text(str(tmp_path / name)).version.rpartition(" ")[2] for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_default_is_this_pythons_own_source() -> None:
    text = read_text(None)
    assert f"standard library of Python {platform.python_version()}: " in text.version
    assert Path(os.__file__).read_bytes() in b"\n".join(text.parts.values())
    sizes = [len(part) for part in text.parts.values()]
    assert min(sizes) > 100_000
    assert sizes[0] > 0.6 * sum(sizes)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.txt", "path = 'missing.txt': no such file or folder in "),
        ("*.nothing", "path = '*.nothing': no such file or folder in "),
        ("/no/such/place", "path = '/no/such/place': no such file or folder"),
        ("bare", "path = 'bare': the folder holds no file"),
        ("empty.txt", "empty.txt: there is no text, every file is empty"),
        ("/proc/self/mem", "/proc/self/mem: cannot be read: Input/output error"),
    ],
)
def test_nothing_to_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "empty.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    if path.startswith("/proc") and not Path(path).exists():
        pytest.skip("a file that cannot be read is found under /proc")
    with pytest.raises(DataError) as caught:
        read_text(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
