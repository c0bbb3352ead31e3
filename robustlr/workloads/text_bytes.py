"""A byte-level language model on any text files; the embedded default needs no download.

Data: the files under `path`, or the Python standard library's own source on this machine (about
12 MB, 800 files; PSF licence), which is real text and differs between versions of Python: the
record says which, and the text's hash. Splits: see `robustlr.workloads.text_files`.

No paper sets the defaults: a Transformer that two CPU cores train in seconds. For a study to take
over from Brown et al. 2020 (arXiv 2005.14165, appendix B): AdamW with β₂ 0.95 and weight decay
0.1, a warmup, cosine decay, no dropout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from robustlr.errors import DataError, SpecError
from robustlr.workloads.base import Split
from robustlr.workloads.language import LanguageModel, Windows
from robustlr.workloads.text_files import read_text
from robustlr.workloads.transformer import CausalTransformer

_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class TextBytes(LanguageModel):
    """The next byte of text files, by a small causal Transformer; loss in nats per byte.

    path: file, folder or pattern such as "corpus/**/*.txt", from the current folder; absent: the
    source of Python's standard library. context: bytes the model sees; a window of context + 1
    is an example. layers, width, heads: of the Transformer.
    evaluation_windows: most windows of the validation and of the test text, evenly spaced.
    """

    kind: Literal["text_bytes"] = "text_bytes"
    path: str | None = None
    context: int = 64
    layers: int = 2
    width: int = 64
    heads: int = 4
    evaluation_windows: int = 256

    metric: ClassVar[str] = "bits_per_byte"

    def __post_init__(self) -> None:
        for name in ("context", "layers", "width", "heads", "evaluation_windows"):
            if getattr(self, name) < 1:
                raise SpecError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.heads:
            raise SpecError(f"heads must divide width, got {self.heads} and {self.width}")

    @property
    def chance_loss(self) -> float:
        return math.log(_BYTES)

    @property
    def evaluation_batch(self) -> int:
        return max(1, 4096 // self.context)

    def model(self, seed: int) -> nn.Module:
        return CausalTransformer(
            vocabulary=_BYTES,
            context=self.context,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
        )

    def examples(self, split: Split, seed: int) -> Windows:
        text = read_text(self.path)
        tokens = torch.frombuffer(bytearray(text.parts[split]), dtype=torch.uint8)
        most = None if split == "train" else self.evaluation_windows
        try:
            return Windows(tokens, self.context, most)
        except DataError as error:
            raise DataError(f"{text.version}: {error}") from error

    def metric_value(self, mean_loss: float, mean_metric: float) -> float:
        """Bits per byte: the mean loss in units of ln 2."""
        return mean_loss / math.log(2.0)

    def provenance(self) -> Mapping[str, str]:
        return {"text": read_text(self.path).version}
