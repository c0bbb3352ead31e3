"""Gradients that leave ``.grad`` as it was."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from robustlr.curvature.sharding import is_sharded
from robustlr.errors import WorkloadError


def gradient(
    loss: Tensor, model: nn.Module, parameters: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    """∂loss/∂p by name, without the parameters that took no part in the loss.

    Under FSDP2 it is the mean over the ranks, in the parameters' shards.
    """
    if is_sharded(model):
        return _reduce_scattered(loss, parameters)
    return differentiate(loss, parameters)


def differentiate(
    loss: Tensor, parameters: dict[str, nn.Parameter], *, create_graph: bool = False
) -> dict[str, Tensor]:
    """∂loss/∂p by autograd.grad: no ``.grad`` is written and no hook of DDP is woken."""
    try:
        gradients = torch.autograd.grad(
            loss, list(parameters.values()), create_graph=create_graph, allow_unused=True
        )
    except RuntimeError as error:
        if "use_reentrant" in str(error):
            raise WorkloadError(
                "the curvature estimators need checkpoint(..., use_reentrant=False), or "
                "estimator = 'squared_gradient'"
            ) from error
        raise
    used = {n: g for n, g in zip(parameters, gradients, strict=True) if g is not None}
    if not used:
        raise WorkloadError("the loss does not depend on any trainable parameter of the model")
    return used


def _reduce_scattered(loss: Tensor, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    # FSDP2 reduces gradients on their way into .grad only.
    kept = {name: p.grad for name, p in parameters.items()}
    _set_gradients(parameters.values(), [None] * len(parameters))
    try:
        loss.backward()  # type: ignore[no-untyped-call]
        reduced = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        if not reduced:
            raise WorkloadError(
                "FSDP left no gradient: it is held back before the last micro-batch of an update, "
                "so estimate after the last backward alone; or the loss does not depend on any "
                "trainable parameter of the model"
            )
        return reduced
    finally:
        _set_gradients(parameters.values(), kept.values())


def _set_gradients(parameters: Iterable[nn.Parameter], gradients: Iterable[Tensor | None]) -> None:
    for parameter, value in zip(parameters, gradients, strict=True):
        parameter.grad = value
