"""Parameters that FSDP2 cut into shards."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 manages (a part of) the model."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def reshard(model: nn.Module) -> None:
    """Drop the whole weights that FSDP2 has gathered, if any: the next pass gathers them anew.

    They are left by a forward pass without a backward one, and kept after a backward one on
    request; what is written to the shards meanwhile does not reach them.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The full tensor behind a shard (a gather over the ranks), or `tensor` itself."""
    full: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full


def shards(tensor: Tensor) -> int:
    """Ranks that hold a part or a copy of `tensor`."""
    return tensor.device_mesh.size() if isinstance(tensor, DTensor) else 1


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a shard, or `tensor` itself."""
    mine: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return mine
