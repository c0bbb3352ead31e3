"""A small causal Transformer: pre-norm, learned positions, GELU, the output tied to the input.

The shape of GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019)
without dropout: 12·layers·width² weights in the blocks, initialised as there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_DEVIATION = 0.02


class CausalTransformer(nn.Module):
    """Tokens [B, T ≤ context] → logits [B, T, vocabulary].

    heads must divide width.
    """

    def __init__(
        self, *, vocabulary: int, context: int, layers: int, width: int, heads: int
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        # what the blocks add to the residual stream adds up over 2·layers of them
        added = _DEVIATION / math.sqrt(2 * layers)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=added if name.endswith("out.weight") else _DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        return functional.linear(self.norm(self.blocks(x)), self.tokens.weight)


class _Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.between = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        hidden: Tensor = self.up(self.between(x))
        added: Tensor = self.out(functional.gelu(hidden, approximate="tanh"))
        return x + added


class _Attention(nn.Module):
    """Every position looks at itself and at those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        # [B, T, 3·width] -> three of [B, heads, T, width/heads]
        q, k, v = self.into(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out
