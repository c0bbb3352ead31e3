"""What every language model has in common: windows of a token stream, and the next token's loss.

Notation
    x       a window of C + 1 tokens, C the context: the model sees x[:C] and predicts x[1:]
    loss    −(1/C)·Σ_t log p(x[t+1] | x[0..t]), mean over the batch; in nats per token
"""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.errors import DataError, WorkloadError
from robustlr.workloads.base import Batch, Workload

_LOOKED_AT = 16  # tokens that tell whether a model sees what is ahead
_ROUNDING = (
    1e-4  # of a change that is seen; bidirectional attention of fresh weights passes on 1e-3
)


class Windows:
    """The windows of a stream of tokens: number k begins at token k·C.

    Neighbours share one token, which the first predicts and the second begins with: every token
    but the stream's first is predicted once, and a remainder shorter than a window is left out.
    tokens: integers of any width, shape [N]. most: keep no more than so many windows, evenly
    spaced over the stream. Raises DataError where the stream is shorter than one window.
    """

    def __init__(self, tokens: Tensor, context: int, most: int | None = None) -> None:
        count = (len(tokens) - 1) // context
        if count < 1:
            raise DataError(
                f"{len(tokens)} tokens are too few for one window of context + 1 = {context + 1}"
            )
        kept = count if most is None else min(most, count)
        self._tokens = tokens
        self._starts = torch.arange(kept) * count // kept * context
        self._offsets = torch.arange(context + 1)

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, indices: Tensor) -> Batch:
        """One tensor, int64, shape [B, C + 1]."""
        places = self._starts[indices][:, None] + self._offsets
        return (self._tokens[places].long(),)

    def to(self, device: torch.device) -> Windows:
        moved = copy.copy(self)
        moved._tokens, moved._starts, moved._offsets = (
            tensor.to(device) for tensor in (self._tokens, self._starts, self._offsets)
        )
        return moved


class LanguageModel(Workload):
    """batch = (windows,); the model maps tokens [B, C] to logits [B, C, vocabulary].

    context: C, an option of every language model.
    """

    context: int
    metric: ClassVar[str] = "perplexity"

    def specimen(self, size: int) -> Batch:
        return (torch.zeros(size, self.context + 1, dtype=torch.int64),)

    def logits(self, model: nn.Module, tokens: Tensor) -> Tensor:
        """The model's logits, for models that return them wrapped in something else."""
        logits: Tensor = model(tokens)
        return logits

    def inspect(self, model: nn.Module, batch: Batch) -> None:
        """Other tokens in the second half of a window must leave the logits of the first alone."""
        (windows,) = batch
        tokens = windows[:1, :-1][:, :_LOOKED_AT]
        half = tokens.shape[1] // 2
        before = self.logits(model, tokens)
        changed = tokens.clone()
        changed[:, half:] = (changed[:, half:] + 1) % before.shape[-1]
        change = (self.logits(model, changed) - before).abs()
        if half and change[:, :half].max() > _ROUNDING * change[:, half:].max():
            raise WorkloadError(
                f"its model, a {type(model).__name__}, sees the tokens that it is to predict: its "
                "logits change where only later tokens do; its attention must be causal"
            )

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        (windows,) = batch
        return _cross_entropy(self.logits(model, windows[:, :-1]), windows[:, 1:])

    def metric_value(self, mean_loss: float, mean_metric: float) -> float:
        """Perplexity: the exponential of the mean loss over the whole split."""
        try:
            return math.exp(mean_loss)
        except OverflowError:
            return math.inf

    def sampled_loss(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        """Every position's label is drawn given the true tokens before it."""
        (windows,) = batch
        logits = self.logits(model, windows[:, :-1])
        chances = functional.softmax(logits.detach().float(), dim=-1).flatten(0, 1)
        drawn = torch.multinomial(chances, 1, generator=generator)
        return _cross_entropy(logits, drawn), drawn.numel()


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    # a sum over a long window of a large vocabulary is too much for half precision
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
