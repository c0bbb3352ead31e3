"""Channels last: images and convolutions with the channels innermost in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def use_channels_last(model: nn.Module) -> None:
    """Weights and inputs of four dimensions, [N, C, H, W], lie with the channels innermost.

    Convolutions hand the layout on, so that converting what the model is given is enough. The
    model changes in place, before an optimizer sees its weights.
    """
    for weight in model.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    model.register_forward_pre_hook(_convert_inputs, with_kwargs=True)


def _convert_inputs(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_converted, args)), {k: _converted(value) for k, value in kwargs.items()}


def _converted(value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value
