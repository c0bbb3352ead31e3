"""The small Transformer: what it may see, how large it is, and attention written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from robustlr.workloads.transformer import CausalTransformer, _Attention

SIZES = {"vocabulary": 11, "context": 6, "layers": 2, "width": 8, "heads": 2}


def make(**changes: int) -> CausalTransformer:
    torch.manual_seed(0)
    return CausalTransformer(**(SIZES | changes))


@torch.no_grad()
def test_no_position_sees_what_comes_after_it() -> None:
    model = make().double()
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight))
    tokens = torch.randint(11, (1, 6))
    before = model(tokens)
    for changed in range(6):
        other = tokens.clone()
        other[0, changed] = (other[0, changed] + 1) % 11
        same = (model(other) - before).abs().amax(dim=-1)[0] < 1e-12
        assert same[:changed].all()
        assert not same[changed:].any()


@torch.no_grad()
def test_a_shorter_text_gives_the_same_beginning() -> None:
    model, tokens = make().double(), torch.randint(11, (3, 6))
    assert torch.allclose(model(tokens)[:, :4], model(tokens[:, :4]), atol=1e-12)


@pytest.mark.parametrize(("layers", "width", "heads"), [(1, 8, 1), (2, 12, 3), (3, 16, 4)])
def test_the_number_of_weights_is_that_of_gpt2(layers: int, width: int, heads: int) -> None:
    model = make(layers=layers, width=width, heads=heads)
    block = 12 * width**2 + 13 * width  # weights; biases and norms
    expected = layers * block + 2 * width + (11 + 6) * width
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_a_fresh_model_knows_nothing() -> None:
    model, tokens = make(vocabulary=256, width=32), torch.randint(256, (64, 7))
    loss = functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(256), rel=0.01)


def slow_attention(layer: _Attention, x: Tensor) -> Tensor:
    """One example, one head, one position at a time."""
    width, size = x.shape[-1], x.shape[-1] // layer.heads
    out = torch.zeros_like(x)
    for example, rows in enumerate(x):
        q, k, v = layer.into(rows).split(width, dim=-1)
        for head in range(layer.heads):
            part = slice(head * size, (head + 1) * size)
            for t in range(len(rows)):
                scores = k[: t + 1, part] @ q[t, part] / math.sqrt(size)
                out[example, t, part] = scores.softmax(0) @ v[: t + 1, part]
    result: Tensor = layer.out(out)
    return result


@torch.no_grad()
def test_attention_written_out() -> None:
    torch.manual_seed(0)
    layer, x = _Attention(8, heads=2).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    assert torch.allclose(layer(x), slow_attention(layer, x))
