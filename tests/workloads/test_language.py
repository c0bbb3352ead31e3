"""Windows of a stream, the next token's loss, perplexity, and labels drawn from the model."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robustlr.curvature import FiniteDifference, GaussNewton, Hutchinson
from robustlr.errors import DataError
from robustlr.workloads import Split
from robustlr.workloads.language import LanguageModel, Windows
from robustlr.workloads.transformer import CausalTransformer

VOCABULARY = 5


class Tiny(LanguageModel):
    """Random tokens and a Transformer in double precision."""

    context = 4

    def model(self, seed: int) -> nn.Module:
        model = CausalTransformer(vocabulary=VOCABULARY, context=4, layers=1, width=4, heads=2)
        with torch.no_grad():
            for weight in model.parameters():  # far from the flat start
                weight.add_(torch.randn_like(weight), alpha=0.5)
        return model.double()

    def examples(self, split: Split, seed: int) -> Windows:
        generator = torch.Generator().manual_seed(seed)
        return Windows(torch.randint(VOCABULARY, (41,), generator=generator), context=4)


def tiny() -> tuple[Tiny, nn.Module, Windows]:
    torch.manual_seed(0)
    workload = Tiny()
    return workload, workload.model(0), workload.examples("train", 0)


@given(st.integers(2, 200), st.integers(1, 9))
def test_every_token_but_the_first_is_predicted_once(length: int, context: int) -> None:
    stream = torch.arange(length)
    if length <= context:
        with pytest.raises(DataError, match=f"{length} tokens are too few for one window"):
            Windows(stream, context)
        return
    windows = Windows(stream, context)
    (batch,) = windows.batch(torch.arange(len(windows)))
    predicted = batch[:, 1:].flatten().tolist()
    assert predicted == list(range(1, len(predicted) + 1))
    assert 0 <= length - 1 - len(predicted) < context
    assert torch.equal(batch[:, :-1] + 1, batch[:, 1:])


@given(st.integers(10, 300), st.integers(1, 40))
def test_a_limit_keeps_whole_windows_spread_evenly(length: int, most: int) -> None:
    every = Windows(torch.arange(length), 3)
    some = Windows(torch.arange(length), 3, most)
    assert len(some) == min(most, len(every))
    starts = some.batch(torch.arange(len(some)))[0][:, 0]
    assert set(starts.tolist()) <= set(every.batch(torch.arange(len(every)))[0][:, 0].tolist())
    if len(some) > 1:
        gaps = starts.diff()
        assert int(gaps.max() - gaps.min()) <= 3  # one window


def test_tokens_of_any_width_make_the_same_windows() -> None:
    stream = torch.randint(256, (50,), generator=torch.Generator().manual_seed(0))
    indices = torch.tensor([3, 0])
    (wide,) = Windows(stream, 7).batch(indices)
    for dtype in (torch.uint8, torch.int32, torch.uint16):
        (batch,) = Windows(stream.to(dtype), 7).batch(indices)
        assert batch.dtype == torch.int64
        assert torch.equal(batch, wide)


def position_losses(model: nn.Module, window: Tensor) -> list[float]:
    """−log p of every token given those before it, one position at a time."""
    return [
        -float(model(window[None, :t])[0, -1].log_softmax(-1)[window[t]])
        for t in range(1, len(window))
    ]


@torch.no_grad()
def test_perplexity_is_the_exponential_of_the_mean_loss_per_token() -> None:
    workload, model, examples = tiny()
    everything = torch.arange(len(examples))
    (windows,) = examples.batch(everything)
    every = [loss for window in windows for loss in position_losses(model, window)]
    loss, metric = workload.evaluate(model, examples, everything)
    mean = loss / len(examples)
    assert mean == pytest.approx(sum(every) / len(every))
    assert workload.metric == "perplexity"
    assert workload.metric_value(mean, metric / len(examples)) == pytest.approx(
        math.prod(math.exp(loss) for loss in every) ** (1 / len(every))
    )


def test_a_perplexity_beyond_numbers_is_infinite() -> None:
    assert Tiny().metric_value(1e4, 0.0) == math.inf
    assert math.isnan(Tiny().metric_value(math.nan, 0.0))


def test_gauss_newton_is_the_expected_squared_gradient_of_one_label() -> None:
    """tr G = (1/N)·Σ over positions of E_y‖∇ log p(y | before)‖², with y drawn from the model."""
    workload, model, examples = tiny()
    batch = examples.batch(torch.arange(3))
    weights = list(model.parameters())
    logits = model(batch[0][:, :-1]).flatten(0, 1)
    exact = 0.0
    for position in logits:
        logs = position.log_softmax(-1)
        for chance, log in zip(logs.exp().tolist(), logs, strict=True):
            gradients = torch.autograd.grad(log, weights, retain_graph=True)
            exact += chance * sum(float(g.square().sum()) for g in gradients) / len(logits)
    estimate = GaussNewton(probes=400).estimate(
        model, batch, torch.Generator().manual_seed(0),
        loss_fn=workload.loss, sample_loss_fn=workload.sampled_loss,
    )  # fmt: skip
    assert estimate.trace == pytest.approx(exact, rel=0.15)


def test_second_derivatives_go_through_attention() -> None:
    workload, model, examples = tiny()
    batch = examples.batch(torch.arange(6))
    signed = [
        estimator.estimate(model, batch, torch.Generator().manual_seed(1), loss_fn=workload.loss)
        for estimator in (Hutchinson(probes=3), FiniteDifference(probes=3, distance=1e-5))
    ]
    assert signed[0].trace == pytest.approx(signed[1].trace, rel=1e-2)
