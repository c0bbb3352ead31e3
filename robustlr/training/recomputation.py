"""Gradient checkpointing: what a block computed is computed again in the backward pass, not kept.

The model changes in place and keeps the names of its parameters.

Chen et al., "Training deep nets with sublinear memory cost", 2016, arXiv 1604.06174.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from robustlr.errors import WorkloadError


def use_checkpointing(model: nn.Module) -> None:
    """Keep the inputs of the model's blocks alone, and compute the rest again when it is needed.

    Blocks are what stands in an attribute `blocks` (nn.Sequential or nn.ModuleList), or what a
    transformers model says. Raises WorkloadError where there is neither.
    """
    for module in model.modules():
        if getattr(module, "supports_gradient_checkpointing", False):
            old: Any = module.gradient_checkpointing_enable  # its name before transformers 5
            getattr(module, "activation_checkpointing_enable", old)({"use_reentrant": False})
            return
    blocks = [block for module in model.modules() for block in _blocks(module)]
    if not blocks:
        raise WorkloadError(
            f"training.gradient_checkpointing: the model ({type(model).__name__}) has no `blocks` "
            "(an nn.Sequential or nn.ModuleList) and is no transformers model that offers it"
        )
    for block in blocks:
        block.forward = partial(_recomputed, block, block.forward)


def _blocks(module: nn.Module) -> list[nn.Module]:
    blocks = getattr(module, "blocks", None)
    return list(blocks) if isinstance(blocks, nn.Sequential | nn.ModuleList) else []


def _recomputed(block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # a compiled graph moves buffers at its end, once, whatever it computes again
    if torch.compiler.is_compiling() or next(block.buffers(), None) is None:
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return checkpoint(
        forward, *args, use_reentrant=False, context_fn=partial(_contexts, block), **kwargs
    )


def _contexts(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Of the forward pass, and of its repetitions."""
    return nullcontext(), _BuffersKept(block)


class _BuffersKept(AbstractContextManager[None]):
    """A repeated forward pass must not move BatchNorm's running statistics a second time.

    Entered anew for every repetition: an estimate of the curvature makes several.
    """

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._kept: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> None:
        self._kept = [(buffer, buffer.clone()) for buffer in self._block.buffers()]

    def __exit__(self, *error: object) -> None:
        for buffer, value in self._kept:
            buffer.data.copy_(value)  # through .data, as the graph may have saved the buffer
        self._kept = []
