"""An exponential moving average of the weights, which evaluation uses in their place.

Notation
    θ_t     the weights after update t; θ̄_t their average; δ the decay

    θ̄_1 = θ_1,   θ̄_t = δ·θ̄_{t−1} + (1 − δ)·θ_t

as in torch.optim.swa_utils. Floating-point buffers (BatchNorm's running statistics) are averaged
with the weights that they belong to; integers are counters, and stay the model's.

Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from robustlr.curvature.sharding import local

_HALVES = (torch.float16, torch.bfloat16)  # too coarse for steps of 1 − δ


class WeightAverage:
    """θ̄ of a model: of this rank's shards, where it is sharded. decay: δ in (0, 1)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model = model
        self._mix = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average = {name: _precise(value).clone() for name, value in self._current().items()}
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an update."""
        current = {name: _precise(value) for name, value in self._current().items()}
        if self._updates:
            average = [self._average[name] for name in current]
            self._mix(average, list(current.values()), self._updates)
        else:
            self._copy(current, self._average)
        self._updates += 1

    @contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """The model has θ̄ inside, and θ again, to the bit, afterwards."""
        kept = {name: value.clone() for name, value in self._current().items()}
        self._copy(self._average, self._current())
        try:
            yield
        finally:
            self._copy(kept, self._current())

    def state(self) -> dict[str, Any]:
        """For a checkpoint; `restore` is the inverse."""
        return {"updates": self._updates, "average": dict(self._average)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._updates = state["updates"]
        self._copy(state["average"], self._average)

    def _current(self) -> dict[str, Tensor]:
        """Weights and floating-point buffers by name; a module may have replaced a buffer."""
        named = [*self._model.named_parameters(), *self._model.named_buffers()]
        return {name: local(value.detach()) for name, value in named if value.is_floating_point()}

    @staticmethod
    @torch.no_grad()
    def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
        for name, value in target.items():
            value.copy_(source[name])


def _precise(value: Tensor) -> Tensor:
    return value.float() if value.dtype in _HALVES else value
