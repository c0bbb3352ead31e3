"""The one door to Hugging Face tokenizers: a tokenizer from a file, or trained on the spot.

Ours is a byte-level BPE, which encodes any text and gives it back to the byte (Radford et al.,
"Language models are unsupervised multitask learners", 2019). The same texts train the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustlr.errors import DataError, SpecError, one_line

END_OF_TEXT = "<|endoftext|>"
_BYTES = 256
_AT_ONCE = 1000  # texts encoded together


class Tokenizer:
    """Text to token numbers. json: all there is to know of it, as tokenizer.json has it.

    Whole texts and nothing else: what a file says of truncation and padding is for batches.
    """

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @property
    def json(self) -> str:
        return str(self._tokenizer.to_str())

    @property
    def size(self) -> int:
        """One more than the largest number."""
        return 1 + max(map(int, self._tokenizer.get_vocab(with_added_tokens=True).values()))

    def encode(self, texts: Iterable[str]) -> npt.NDArray[np.int32]:
        """The tokens of all texts, one after the other, with nothing added between them."""
        parts = [np.empty(0, dtype=np.int32)]
        remaining = iter(texts)
        while some := list(islice(remaining, _AT_ONCE)):
            encoded = self._tokenizer.encode_batch(some, add_special_tokens=False)
            parts.extend(np.asarray(text.ids, dtype=np.int32) for text in encoded)
        return np.concatenate(parts)

    def decode(self, tokens: Iterable[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))


def read_tokenizer(path: str) -> Tokenizer:
    """The tokenizer in a tokenizer.json, or in a folder with one. Raises DataError."""
    file = Path(path).expanduser()
    if file.is_dir():
        file /= "tokenizer.json"
    if not file.is_file():
        raise DataError(
            f"tokenizer = '{path}': there is no {file.name}; save_pretrained of a fast tokenizer "
            "of transformers makes one"
        )
    try:
        tokenizer = _tokenizers().Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more special
        raise DataError(f"{file}: is no tokenizer: {one_line(str(error))[:200]}") from error
    if not tokenizer.get_vocab_size():
        raise DataError(f"{file}: the tokenizer has no tokens; was it saved before its training?")
    return Tokenizer(tokenizer)


def train_tokenizer(texts: Iterator[str], size: int) -> Tokenizer:
    """Byte-level BPE of at most `size` tokens: 256 bytes, the end of text, and merges.

    A text with few different pairs gives fewer. Raises SpecError for a size below 257.
    """
    require_size(size)
    library = _tokenizers()
    byte_level = library.pre_tokenizers.ByteLevel
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(byte_level.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Tokenizer(tokenizer)


def require_size(size: int) -> None:
    """Raise SpecError for a vocabulary that has no room for every byte and the end of text."""
    if size <= _BYTES:
        raise SpecError(f"a trained tokenizer needs a vocabulary above {_BYTES}, got {size}")


def library_version() -> str:
    """Of tokenizers, which decides what training gives."""
    return str(_tokenizers().__version__)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(
            'Hugging Face tokenizers is not installed: pip install "robustlr[hf]"'
        ) from error
    return tokenizers
