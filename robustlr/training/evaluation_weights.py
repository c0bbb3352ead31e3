"""Optimizers that train at other weights than those they are for: schedule-free ones and SPlus.

Notation
    y       the weights in the model while it trains, where gradients are taken
    x       the weights to evaluate, an average that the optimizer keeps

Such an optimizer has two methods of its own: `eval()` puts x in place of y and `train()` puts y
back. The way back is arithmetic that rounds, so y is kept aside here: how often a run is evaluated
does not change it. Buffers are left alone: BatchNorm's running statistics stay those of y.

Defazio et al., "The Road Less Scheduled", 2024, arXiv:2405.15682; Frans et al., "A Stable
Whitening Optimizer for Efficient Neural Network Training", 2025, arXiv:2506.07254.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

from robustlr.curvature.sharding import local


def begin_training(optimizer: Optimizer) -> None:
    """Tell an optimizer that wants to know: some refuse an update otherwise."""
    switches = _switches(optimizer)
    if switches is not None:
        switches[1]()


@contextmanager
def evaluation_weights(optimizer: Optimizer, weights: Sequence[Tensor]) -> Iterator[None]:
    """Inside, `weights` are x where `optimizer` keeps one; then y again, to the bit.

    Before the first update x = y, and the optimizer, which may not bear to be asked, is not.
    """
    switches = _switches(optimizer)
    if switches is None or not optimizer.state:
        yield
        return
    to_x, to_y = switches
    mine = [local(weight.detach()) for weight in weights]
    kept = [weight.clone() for weight in mine]
    to_x()
    try:
        yield
    finally:
        to_y()
        with torch.no_grad():
            for weight, y in zip(mine, kept, strict=True):
                weight.copy_(y)


def _switches(optimizer: Optimizer) -> tuple[Callable[[], object], Callable[[], object]] | None:
    """Its `eval` and `train`, where it has both."""
    to_x, to_y = getattr(optimizer, "eval", None), getattr(optimizer, "train", None)
    return (to_x, to_y) if callable(to_x) and callable(to_y) else None
