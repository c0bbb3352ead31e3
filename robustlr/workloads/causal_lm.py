"""A causal language model of transformers on a corpus of tokens: what its workloads share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from robustlr.errors import DataError, SpecError
from robustlr.versions import installed_versions
from robustlr.workloads.architectures import make_model, weights_version
from robustlr.workloads.base import Split
from robustlr.workloads.corpus import Corpus
from robustlr.workloads.language import LanguageModel, Windows
from robustlr.workloads.token_cache import Tokens, tokenised
from robustlr.workloads.tokenizer import read_tokenizer, require_size

_LOGITS_AT_ONCE = 2**26  # numbers, in evaluation: 256 MiB


class CausalLM(LanguageModel):
    """context, tokenizer, evaluation_windows: options of every such workload.

    weights: folder of those to begin with, or None for fresh ones.
    The size of a tokenizer that is trained is that of the model's vocabulary, so that the model
    is known before its data is there.
    """

    weights: str | None = None
    tokenizer: str | None
    evaluation_windows: int | None

    @cached_property
    @abstractmethod
    def config(self) -> Any:
        """The model's configuration. Raises SpecError."""

    @property
    @abstractmethod
    def corpus(self) -> Corpus:
        """Where the text is."""

    def check(self) -> None:
        """What can be checked without the data. Raises SpecError, or DataError for a tokenizer."""
        for name in ("context", "evaluation_windows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SpecError(f"{name} must be at least 1, got {value}")
        longest = getattr(self.config, "max_position_embeddings", None)
        if isinstance(longest, int) and self.context > longest:
            raise SpecError(
                f"context {self.context} is longer than the {longest} positions of the model"
            )
        if self.tokenizer is None:
            require_size(self.vocabulary)
        elif (size := read_tokenizer(self.tokenizer).size) > self.vocabulary:
            raise SpecError(
                f"the tokenizer in {self.tokenizer} does not fit the model: it has {size} tokens, "
                f"the model's vocabulary {self.vocabulary}"
            )

    @property
    def vocabulary(self) -> int:
        """Tokens that the model knows."""
        return int(self.config.get_text_config().vocab_size)

    @property
    def chance_loss(self) -> float:
        return math.log(self.vocabulary)

    @property
    def evaluation_batch(self) -> int:
        return max(1, _LOGITS_AT_ONCE // (self.context * self.vocabulary))

    def model(self, seed: int) -> nn.Module:
        return make_model(self.config, "causal_lm", self.weights)

    def logits(self, model: nn.Module, tokens: Tensor) -> Tensor:
        more = {}
        if tokens.is_meta:  # without a mask transformers looks into positions, which have no values
            length = tokens.shape[1]
            more["attention_mask"] = tokens.new_ones(1, 1, length, length, dtype=torch.bool)
        logits: Tensor = model(input_ids=tokens, **more).logits
        return logits

    def examples(self, split: Split, seed: int) -> Windows:
        tokens = self._tokens
        most = None if split == "train" else self.evaluation_windows
        try:
            return Windows(tokens.parts[split], self.context, most)
        except DataError as error:
            raise DataError(f"{tokens.version}: {split} split: {error}") from error

    def provenance(self) -> Mapping[str, str]:
        facts = {"text": self._tokens.version}
        if self.weights is not None:
            facts["weights"] = weights_version(self.weights)
        return facts | installed_versions("transformers", "tokenizers", "datasets")

    @property
    def _tokens(self) -> Tokens:
        return tokenised(self.corpus, self.tokenizer, self.vocabulary)
