"""Byte-level BPE: gives every text back, is trained to the same result, and is refused in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from robustlr.errors import DataError, SpecError
from robustlr.workloads.tokenizer import END_OF_TEXT, read_tokenizer, train_tokenizer
from tests.workloads.texts_on_disk import sentences

TRAINED = train_tokenizer(iter(sentences(200, seed=0)), 300)
PROGRAM = """
from robustlr.workloads.tokenizer import train_tokenizer
from tests.workloads.texts_on_disk import sentences
print(train_tokenizer(iter(sentences(200, seed=0)), 300).json)
"""


@given(st.text(max_size=80).filter(lambda text: END_OF_TEXT not in text))
def test_any_text_comes_back(text: str) -> None:
    tokens = TRAINED.encode([text])
    assert TRAINED.decode(tokens.tolist()) == text
    assert all(0 <= token < TRAINED.size for token in tokens.tolist())


def test_texts_are_joined_with_nothing_between_them() -> None:
    many = [f"text {k} " for k in range(2500)]  # more than are encoded together
    assert TRAINED.decode(TRAINED.encode(many).tolist()) == "".join(many)
    assert TRAINED.encode([]).tolist() == []


def test_the_vocabulary_is_as_large_as_asked_where_the_text_has_pairs_for_it() -> None:
    assert TRAINED.size == 300
    assert train_tokenizer(iter(["ab"]), 300).size == 258  # 256 bytes, the end of text, "ab"


def test_the_end_of_a_text_is_one_token() -> None:
    (one,) = TRAINED.encode([END_OF_TEXT]).tolist()
    assert TRAINED.decode([one]) == END_OF_TEXT


@pytest.mark.parametrize("threads", ["1", "4"])
def test_training_is_the_same_in_every_process(threads: str) -> None:
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=True, env=environment,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert json.loads(done.stdout) == json.loads(TRAINED.json)


def test_a_file_and_its_folder_are_the_same_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(TRAINED.json)
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        again = read_tokenizer(str(path))
        assert again.encode(["a river"]).tolist() == TRAINED.encode(["a river"]).tolist()
        assert again.size == TRAINED.size


def test_truncation_and_padding_of_a_file_leave_texts_whole(tmp_path: Path) -> None:
    saved = tokenizers.Tokenizer.from_str(TRAINED.json)
    saved.enable_truncation(4)
    saved.enable_padding(length=8, pad_id=0)
    saved.save(str(tmp_path / "tokenizer.json"))
    texts = ["a river and a hill, and much more of both", "a"]
    again = read_tokenizer(str(tmp_path))
    assert again.decode(again.encode(texts).tolist()) == "".join(texts)
    assert json.loads(again.json) == json.loads(TRAINED.json)


def test_a_tokenizer_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{}")
    tokenizers.Tokenizer(tokenizers.models.BPE()).save(str(tmp_path / "empty.json"))
    for path, message in (
        ("nowhere", "tokenizer = 'nowhere': there is no nowhere; save_pretrained of a fast tok"),
        (str(tmp_path), "there is no tokenizer.json; save_pretrained of a fast tokenizer"),
        (str(tmp_path / "broken.json"), "broken.json: is no tokenizer: "),
        (str(tmp_path / "empty.json"), "empty.json: the tokenizer has no tokens; was it saved"),
    ):
        with pytest.raises(DataError) as caught:
            read_tokenizer(path)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_vocabulary_without_room_for_every_byte() -> None:
    with pytest.raises(SpecError, match="needs a vocabulary above 256, got 256"):
        train_tokenizer(iter(["text"]), 256)
