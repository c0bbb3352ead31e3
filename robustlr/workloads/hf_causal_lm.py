"""Any text of Hugging Face datasets with any causal language model of transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from robustlr.workloads.architectures import make_config
from robustlr.workloads.causal_lm import CausalLM
from robustlr.workloads.corpus import Corpus, RowsOfText
from robustlr.workloads.hub import Source


@dataclass(frozen=True, kw_only=True)
class HFCausalLM(CausalLM):
    """Your text and a causal language model of transformers; perplexity per token.

    path: hub id, local folder, Parquet, text, JSON or CSV file; subset: its configuration, if it
    has several. column: of the text. train_split, valid_split, test_split: their names; "" for a
    split that is held out of the training rows, the last `held_out` of them each (0.05).
    separator: put behind every row: a line break, or for documents the tokenizer's end of text.
    architecture: its name ("gpt2", "llama"), a configuration's file or folder, or a hub id in the
    cache. overrides: of that configuration, such as { n_layer = 4 }. weights: folder with
    safetensors to begin with; absent: fresh ones. tokenizer: folder or tokenizer.json; absent: a
    byte-level BPE of the model's vocabulary is trained on the training split. context: tokens
    that the model sees. evaluation_windows: most windows of the validation and of the test split,
    evenly spaced; absent: all.
    """

    kind: Literal["hf_causal_lm"] = "hf_causal_lm"
    path: str
    subset: str = ""
    column: str = "text"
    train_split: str = "train"
    valid_split: str = "validation"
    test_split: str = "test"
    held_out: float = 0.05
    separator: str = "\n"
    architecture: str = "gpt2"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    tokenizer: str | None = None
    context: int = 128
    evaluation_windows: int | None = None

    def __post_init__(self) -> None:
        _ = self.corpus  # checks its own options
        self.check()

    @cached_property
    def config(self) -> Any:
        return make_config(self.architecture, self.overrides, "causal_lm")

    @property
    def corpus(self) -> Corpus:
        return RowsOfText(
            Source(self.path, self.subset),
            column=self.column,
            train=self.train_split,
            valid=self.valid_split,
            test=self.test_split,
            held_out=self.held_out,
            separator=self.separator,
        )
