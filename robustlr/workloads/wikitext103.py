"""WikiText-103: 28,475 articles of Wikipedia, a hundred million words.

Merity et al., "Pointer Sentinel Mixture Models" (2016, arXiv 1609.07843). On the hub as
Salesforce/wikitext, configuration wikitext-103-raw-v1: about 0.3 GB to download as Parquet,
0.54 GB of text. Licence: CC BY-SA 3.0 and GFDL, as Wikipedia's. 28,475 articles are for training,
60 for validation and 60 for test; the splits are the owners'. Nothing is left out or cleaned: the
perplexity is per token of the tokenizer, and not comparable with one per word.

The defaults are GPT-2 small (Radford et al. 2019; 12 layers, width 768, 12 heads, context 1024:
124 M weights). A study of it would take over from Brown et al. 2020 (arXiv 2005.14165, GPT-3
small, of the same size): AdamW with β₁ 0.9, β₂ 0.95 and weight decay 0.1, gradients clipped at
norm 1, batches of 0.5 M tokens (512 windows), a peak learning rate of 6e-4, linear warmup and
cosine decay. On 118 M tokens a small batch (32 to 64 windows) leaves more updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from robustlr.errors import SpecError
from robustlr.workloads.architectures import make_config
from robustlr.workloads.causal_lm import CausalLM
from robustlr.workloads.corpus import Corpus, RowsOfText, WikiTextFiles
from robustlr.workloads.hub import Source

_SUBSET = "wikitext-103-raw-v1"
_DOWNLOAD = "about 0.3 GB, CC BY-SA"


@dataclass(frozen=True, kw_only=True)
class WikiText103(CausalLM):
    """Wikipedia's articles and a GPT-2 of any size; perplexity per token.

    path: hub id or its folder here, a Parquet file, or a folder with wiki.train.raw and the like.
    n_layer, n_embd, n_head, context, dropout: of the GPT-2. vocabulary_size: of the model, and of
    the byte-level BPE that is trained on the training split; a local tokenizer (folder, or
    tokenizer.json) may have fewer tokens. evaluation_windows: most windows of the validation and
    of the test split, evenly spaced; absent: all.
    """

    kind: Literal["wikitext103"] = "wikitext103"
    path: str = "Salesforce/wikitext"
    n_layer: int = 12
    n_embd: int = 768
    n_head: int = 12
    context: int = 1024
    dropout: float = 0.1
    vocabulary_size: int = 50_257
    tokenizer: str | None = None
    evaluation_windows: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_embd", "n_head", "context"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.n_embd % self.n_head:
            raise SpecError(f"n_head must divide n_embd, got {self.n_head} and {self.n_embd}")
        if not 0.0 <= self.dropout < 1.0:
            raise SpecError(f"dropout must be in [0, 1), got {self.dropout}")
        self.check()

    @cached_property
    def config(self) -> Any:
        sizes = {name: getattr(self, name) for name in ("n_layer", "n_embd", "n_head")}
        dropout = {f"{place}_pdrop": self.dropout for place in ("attn", "embd", "resid")}
        tokens = {"vocab_size": self.vocabulary_size, "n_positions": self.context}
        ends = {"bos_token_id": None, "eos_token_id": None}  # nothing is generated
        return make_config("gpt2", sizes | dropout | tokens | ends, "causal_lm")

    @property
    def corpus(self) -> Corpus:
        source = Source(self.path, _SUBSET, size=_DOWNLOAD, files=f"{_SUBSET}/*")
        return WikiTextFiles.found_in(self.path) or RowsOfText(source)
