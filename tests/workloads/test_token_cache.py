"""Tokens are made once, whoever asks, and again where text or tokenizer change."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robustlr.errors import DataError, StorageError
from robustlr.workloads import token_cache
from robustlr.workloads.corpus import WikiTextFiles
from robustlr.workloads.token_cache import Tokens, tokenised
from robustlr.workloads.tokenizer import train_tokenizer
from tests.workloads.texts_on_disk import sentences, write_wikitext_files

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from robustlr.workloads.corpus import WikiTextFiles
from robustlr.workloads.token_cache import tokenised
print(tokenised(WikiTextFiles(Path(sys.argv[1])), None, 300).version)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUSTLR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path: Path) -> WikiTextFiles:
    return WikiTextFiles(write_wikitext_files(tmp_path / "text"))


def made(corpus: WikiTextFiles, tokenizer: str | None = None, size: int = 300) -> Tokens:
    tokenised.cache_clear()  # as another process would
    return tokenised(corpus, tokenizer, size)


def files_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*.safetensors"))


def test_tokens_are_those_of_every_row_by_a_tokenizer_of_the_training_rows(
    corpus: WikiTextFiles, cache: Path
) -> None:
    tokens = made(corpus)
    tokenizer = train_tokenizer(iter(sentences(300, seed=0)), 300)
    for seed, split in enumerate(("train", "valid", "test")):
        rows = sentences(300 if split == "train" else 60, seed)
        assert tokens.parts[split].tolist() == tokenizer.encode(rows).tolist()
        assert tokenizer.decode(tokens.parts[split].tolist()) == "".join(rows)
        assert f"{len(tokens.parts[split]):,} {split}" in tokens.version


def test_they_are_read_again_and_not_made_again(
    corpus: WikiTextFiles, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(corpus)
    monkeypatch.setattr(token_cache, "train_tokenizer", None)
    second = made(corpus)
    assert second.version == first.version
    assert all(torch.equal(first.parts[split], second.parts[split]) for split in first.parts)


def test_other_text_and_other_tokenizers_are_other_files(
    corpus: WikiTextFiles, cache: Path, tmp_path: Path
) -> None:
    versions = {made(corpus).version, made(corpus, size=290).version}
    (tmp_path / "tokenizer.json").write_text(train_tokenizer(iter(["some text"]), 260).json)
    versions.add(made(corpus, str(tmp_path)).version)
    with open(corpus.folder / "wiki.test.raw", "a") as file:
        file.write(" One more . \n")
    versions.add(made(corpus).version)
    assert len(versions) == len(files_in(cache)) == 4


@pytest.mark.parametrize("keep", [0, 60, 2000])
def test_a_damaged_file_is_made_again(corpus: WikiTextFiles, cache: Path, keep: int) -> None:
    first = made(corpus)
    (name,) = files_in(cache)
    whole = (cache / name).read_bytes()
    (cache / name).write_bytes(whole[:keep])
    second = made(corpus)
    assert torch.equal(first.parts["train"], second.parts["train"])
    assert (cache / name).read_bytes() == whole


@pytest.mark.slow
def test_processes_at_the_same_time_make_one_file(corpus: WikiTextFiles, cache: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(corpus.folder)]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1
    assert len(files_in(cache)) == 1
    assert not [name for name in os.listdir(cache) if name.endswith(".tmp")]


def test_a_split_without_text(corpus: WikiTextFiles, cache: Path) -> None:
    (corpus.folder / "wiki.valid.raw").write_text("\n \n")
    with pytest.raises(DataError, match="text, valid split: there is no text, every row is empty"):
        made(corpus)


def test_a_cache_that_cannot_be_made(
    corpus: WikiTextFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ROBUSTLR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match=r"cannot be made: .*; ROBUSTLR_CACHE names another"):
        made(corpus)


def test_a_cache_that_cannot_be_written(corpus: WikiTextFiles, cache: Path) -> None:
    cache.mkdir()
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(cache, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(StorageError, match="cannot be written to; ROBUSTLR_CACHE names another"):
        made(corpus)
