"""torch.compile: one graph for every learning rate, schedule and seed, and the same training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from robustlr.curvature import Hutchinson
from robustlr.specs import AdamW
from robustlr.training import train
from tests.training.cells import digits_cell
from tests.training.models import ConvDigits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the compiler's own imports
]
STEPS: dict[str, Any] = {"num_steps": 4, "log_every": 1, "eval_every": 2}


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def graphs() -> int:
    """Graphs compiled so far: one for every way in which the model was called."""
    return int(counters["stats"]["unique_graphs"])


def test_ten_learning_rates_compile_once() -> None:
    for exponent in range(-10, 0):
        # a schedule changes the lr in every update; another seed has other weights and masks
        options = STEPS | {"lr_exponent": str(exponent), "seed": -exponent % 2}
        train(digits_cell("linear+warmup", **options, compile=True), ConvDigits())
    assert graphs() == 1
    train(digits_cell(**STEPS, compile=True, optimizer=AdamW()), ConvDigits())
    assert graphs() == 1  # the optimizer is no part of it
    train(digits_cell(**STEPS, compile=True, batch_size=32), ConvDigits())
    assert graphs() == 2  # the shapes are


class Plain(ConvDigits):
    """A compiled dropout draws another mask."""

    dropout = 0.0


def test_training_is_the_same_and_the_curvature_is_estimated_too() -> None:
    schedule = "curvature_adaptive:every=2"
    assert digits_cell(schedule).schedule.curvature_request.estimator == Hutchinson.name  # type: ignore[union-attr]
    _, eager = train(digits_cell(schedule, **STEPS), Plain())
    assert graphs() == 0
    _, compiled = train(digits_cell(schedule, **STEPS, compile=True), Plain())
    assert graphs() == 1
    for name in ("train_loss", "valid_loss", "grad_norm", "curvature_trace", "lr"):
        ours, theirs = (curve[name].drop_nulls().to_list() for curve in (compiled, eager))
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_with_every_other_option_at_once() -> None:
    options = {"gradient_checkpointing": True, "channels_last": True, "ema_decay": 0.5}
    mixed = STEPS | {"precision": "bf16", "accumulation_steps": 2, "clip_norm": 1.0}
    _, eager = train(digits_cell(**options, **mixed), Plain())  # type: ignore[arg-type]
    _, compiled = train(digits_cell(**options, **mixed, compile=True), Plain())  # type: ignore[arg-type]
    for name in ("train_loss", "valid_loss"):
        ours, theirs = (curve[name].drop_nulls().to_list() for curve in (compiled, eager))
        assert ours == pytest.approx(theirs, rel=0.02)
