"""Training that does not notice an estimate: buffers and random states put back.

An extra forward pass in training mode moves BatchNorm's running statistics and draws dropout
masks. Both are restored, so that a run is the same to the bit with its estimator on or off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robustlr.curvature.sharding import reshard


@contextmanager
def untouched(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Restore the model's buffers and the random states (CPU, and the model's GPUs) on exit.

    Yields a function that restores them at once: forward passes after each call of it see the
    same dropout masks.
    """
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    cpu_state = torch.get_rng_state()
    gpu_states = {device: torch.cuda.get_rng_state(device) for device in _gpus(model)}

    def rewind() -> None:
        for module, name, buffer, value in buffers:
            # Through .data, as a graph that saved the buffer stays valid: its value is the same.
            buffer.data.copy_(value)
            module._buffers[name] = buffer  # a module may have put a new tensor in its place
        torch.set_rng_state(cpu_state)
        for device, state in gpu_states.items():
            torch.cuda.set_rng_state(state, device)

    try:
        yield rewind
    finally:
        rewind()


def _gpus(model: nn.Module) -> set[torch.device]:
    """Those that hold a part of the model."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return set()
    return {t.device for t in (*model.parameters(), *model.buffers()) if t.device.type == "cuda"}


@contextmanager
def displaceable(
    model: nn.Module, parameters: dict[str, nn.Parameter]
) -> Iterator[Callable[[dict[str, Tensor], float], None]]:
    """Restore the model's parameters on exit, to the bit: θ + ε − ε is not θ.

    Yields ``displace(v, ε)``, which sets θ + εv for v by name, from the original θ.
    """
    kept = {name: p.detach().clone() for name, p in parameters.items()}

    def forget_copies() -> None:
        # Autocast remembers its low-precision copies of the weights until its context ends.
        torch.clear_autocast_cache()
        reshard(model)

    def displace(direction: dict[str, Tensor], distance: float) -> None:
        for name, p in parameters.items():
            p.data.copy_(kept[name]).add_(direction[name], alpha=distance)
        forget_copies()

    try:
        yield displace
    finally:
        for name, p in parameters.items():
            p.data.copy_(kept[name])
        forget_copies()
