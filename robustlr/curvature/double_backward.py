"""Hessian-vector products by double backward, with few copies of the weights at a time.

Weights, gradient and momentum are most of what the training of a small model holds. Done without
care, an estimate holds g, v, Hv and v ⊙ Hv besides. Here g gives way to its graph, v waits as
bytes and is widened when a parameter's turn comes, and where vᵀHv is all, Hv is never put together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from robustlr.curvature.gradients import differentiate
from robustlr.curvature.parts import graph_behind, handed_over
from robustlr.curvature.sharding import whole
from robustlr.curvature.sums import collected, signed_sums


class DoubleBackward:
    """Hv = ∇(gᵀv) for g, the gradient of `loss`, and any number of v.

    parameters: those that g depends on, by name; the others have no part in H.
    graph: the operations behind gᵀv.

    Both products raise RuntimeError where an operation has no second derivative.
    """

    def __init__(self, loss: Tensor, parameters: dict[str, nn.Parameter]) -> None:
        self._probe: dict[str, Tensor] = {}
        along = _directional(loss, parameters, self._probe)
        self.parameters = {name: p for name, p in parameters.items() if name in along}
        self._along = list(along.values())
        self.graph = graph_behind(self._along)

    def product(self, v: dict[str, Tensor], *, keep_graph: bool) -> dict[str, Tensor]:
        """Hv by name. v: signs by name, of any type. keep_graph: whether another follows."""
        parts = self._derivative(v, keep_graph)
        return {
            name: torch.zeros_like(p) if part is None else part
            for (name, p), part in zip(self.parameters.items(), parts, strict=True)
        }

    def quadratic(self, v: dict[str, Tensor], *, keep_graph: bool) -> Tensor:
        """vᵀHv, a scalar; see `product`."""
        first = next(iter(self.parameters.values()))
        sums = [torch.zeros((), dtype=torch.float32, device=first.device)]  # where H is 0

        def take(name: str, part: Tensor) -> None:
            sums.extend(signed_sums(whole(v[name]), whole(part)))

        with handed_over(self.graph, self.parameters, take):
            parts = self._derivative(v, keep_graph)
        for name, part in zip(self.parameters, parts, strict=True):
            if part is not None:
                take(name, part)
        return collected(sums)

    def _derivative(self, v: dict[str, Tensor], keep_graph: bool) -> tuple[Tensor | None, ...]:
        self._probe.update(v)
        try:
            return torch.autograd.grad(
                self._along,
                list(self.parameters.values()),
                retain_graph=keep_graph,
                allow_unused=True,
            )
        finally:
            self._probe.clear()


def _directional(
    loss: Tensor, parameters: dict[str, nn.Parameter], probe: dict[str, Tensor]
) -> dict[str, Tensor]:
    """gᵀv by name, where it depends on a parameter; each g freed as soon as it is known.

    Made then, and not when all of g is there, each also takes its turn in the backward pass when
    its v is needed: autograd begins with what was made last.
    """
    along: dict[str, Tensor] = {}

    def replaced(name: str) -> Callable[[Tensor], Tensor]:
        def hook(g: Tensor) -> Tensor:
            if g.requires_grad:
                along[name] = _Along.apply(g, probe, name)  # type: ignore[no-untyped-call]
            if g.layout is not torch.strided or isinstance(g, DTensor):
                return g
            return g.new_zeros(()).expand_as(g)  # holds one number, whatever its shape

        return hook

    handles = [
        p.register_hook(replaced(name))  # type: ignore[no-untyped-call]
        for name, p in parameters.items()
    ]
    try:
        differentiate(loss, parameters, create_graph=True)
    finally:
        for handle in handles:
            handle.remove()
    return along


class _Along(torch.autograd.Function):
    """gᵀv as autograd sees it: its derivative in g is v. Its value is not used, and 0.

    Passed as an argument of autograd.grad instead, v would be held to the end, and g too.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, probe: dict[str, Tensor], name: str) -> Tensor:
        ctx.probe, ctx.parameter, ctx.dtype = probe, name, g.dtype
        return g.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, None, None]:
        return ctx.probe[ctx.parameter].to(ctx.dtype), None, None
