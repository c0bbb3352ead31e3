"""torch.compile, once for all cells of a process that differ in learning rate, schedule or seed."""

from __future__ import annotations

from typing import cast

from torch import nn

_MOST_GRAPHS = 256  # settings of a study in one process; beyond torch's 8 it would turn eager


def compiled(model: nn.Module) -> nn.Module:
    """`model` with its forward and backward pass compiled, for the training step.

    Only the pass is compiled: the optimizer, and with it the learning rate, stays outside, and the
    weights are inputs of the graph. A new cell of the same shape therefore finds it ready made.
    The model itself stays eager for whoever holds it: evaluation has batches of other shapes, and
    the curvature needs a second derivative, which a compiled graph lacks.
    """
    import torch._dynamo  # takes seconds

    torch._dynamo.config.recompile_limit = _MOST_GRAPHS
    return cast(nn.Module, torch.compile(model))
