"""What an optimizer remembers, whoever wrote it: its state, its groups, its own attributes.

Not through `state_dict`, whose inverse casts what it loads to the dtype of the weights.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

_CONSTANT = (torch.dtype, torch.device, Enum, type)


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """Nested values and tensors; `restore_optimizer` puts them into one that is built alike."""
    own = vars(optimizer).items()
    return {
        "state": [[key, value] for key, value in optimizer.state.items()],
        "groups": [_changing(group) for group in optimizer.param_groups],
        "attributes": _changing({k: v for k, v in own if k not in _common_attributes()}),
        "inner": {name: optimizer_state(inner) for name, inner in _inner(optimizer).items()},
    }


def restore_optimizer(optimizer: Optimizer, values: dict[str, Any]) -> None:
    """Raises KeyError or ValueError where the values are those of an optimizer built otherwise."""
    for name, inner in _inner(optimizer).items():
        restore_optimizer(inner, values["inner"][name])
    optimizer.state.clear()
    for key, value in values["state"]:
        optimizer.state[key] = value
    for group, options in zip(optimizer.param_groups, values["groups"], strict=True):
        group.update(options)
    vars(optimizer).update(values["attributes"])


def _changing(options: dict[str, Any]) -> dict[str, Any]:
    """Without the weights, and without what is the same in every optimizer that is built alike."""
    return {
        name: value
        for name, value in options.items()
        if name not in ("params", "param_names")
        and not isinstance(value, (Optimizer, *_CONSTANT))
        and not callable(value)
    }


def _inner(optimizer: Optimizer) -> dict[str, Optimizer]:
    """Optimizers that this one is wrapped around."""
    return {name: v for name, v in vars(optimizer).items() if isinstance(v, Optimizer)}


@cache
def _common_attributes() -> frozenset[str]:
    """Attributes that every optimizer has."""
    return frozenset(vars(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)))
