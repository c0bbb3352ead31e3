"""FSDP: every rank holds its part of the weights, gradients and optimizer state.

Accelerate cuts the model (its own preparation wants a GPU, the function underneath does not). The
weights keep their precision and the pass runs under autocast, as with DDP: the same cell gives the
same curve, up to float error.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin, fsdp2_prepare_model
from torch import nn

from robustlr.errors import SpecError
from robustlr.specs import ShardingSpec


def shard(model: nn.Module, spec: ShardingSpec, accelerator: Accelerator) -> None:
    """Cut `model` in place, before an optimizer sees its weights. Every rank must call.

    Raises SpecError where the spec names a class that the model does not have.
    """
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=spec.reshard_after_forward,
        auto_wrap_policy=spec.auto_wrap_policy.lower(),
        transformer_cls_names_to_wrap=list(spec.transformer_layer_cls_to_wrap) or None,
        min_num_params=spec.min_num_params,
        cpu_offload=False,
        cpu_ram_efficient_loading=False,
        activation_checkpointing=False,
    )
    accelerator.state.fsdp_plugin = plugin
    try:
        fsdp2_prepare_model(accelerator, model)
    except ValueError as error:
        if "Could not find" not in str(error):
            raise
        names = ", ".join(spec.transformer_layer_cls_to_wrap)
        known = ", ".join(sorted({type(module).__name__ for module in model.modules()}))
        raise SpecError(
            f"training.accelerate_config: fsdp_transformer_layer_cls_to_wrap names {names}, "
            f"and the model is made of {known}"
        ) from error


def share_buffers(model: nn.Module) -> None:
    """Give every rank the first one's buffers, as DDP does before an update."""
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)
