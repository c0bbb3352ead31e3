"""The parts of a derivative, one for every use of a parameter, taken where they arise.

∂/∂p is a sum over the operations that use p. Whoever wants a linear function of it alone (vᵀHv)
can have it of each part, and need not hold two of them for the sum of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.distributed.tensor import DTensor

Take = Callable[[str, Tensor], None]
"""(name of the parameter, part of its derivative) -> None."""

Graph = Mapping[Node, Sequence[Node | None]]
"""Operations, each with those that made its arguments."""

_Way = tuple[str, list[Node]]

_VIEWS = {
    *("TBackward0", "TransposeBackward0", "PermuteBackward0", "ViewBackward0"),
    *("ReshapeAliasBackward0", "UnsafeViewBackward0", "UnsqueezeBackward0"),
}
"""Operations of one argument whose derivative is a view: parts that meet there can pass singly."""


def kind_of(node: Node) -> str:
    """What operation `node` is; its own ``name()`` may be hidden by an attribute of the user's."""
    return type(node).__name__


def graph_behind(tensors: Iterable[Tensor]) -> Graph:
    """Every operation that `tensors` were made by, back to the parameters."""
    stack = [tensor.grad_fn for tensor in tensors]
    graph: dict[Node, list[Node | None]] = {}
    while stack:
        node = stack.pop()
        if node is not None and node not in graph:
            graph[node] = [source for source, _ in node.next_functions]
            stack += graph[node]
    return graph


@contextmanager
def handed_over(graph: Graph, parameters: dict[str, nn.Parameter], take: Take) -> Iterator[None]:
    """Within, a backward pass through `graph` gives each part to `take`, and autograd nothing.

    Two kinds of parameter are left to autograd: one with hooks of its own, which expect the
    whole derivative, and a sharded one, whose parts may be partial sums over ranks.
    """
    names = {
        id(p): name
        for name, p in parameters.items()
        if not (p._backward_hooks or isinstance(p, DTensor))
    }
    ways = _ways(graph, names)
    handles = []
    try:
        for node, sources in graph.items():
            ends = {i: ways[source] for i, source in enumerate(sources) if source in ways}
            if ends and node not in ways:  # views on a way have nothing left to hand over
                handles.append(node.register_hook(_diversion(ends, take)))
        yield
    finally:
        for handle in handles:  # the model may keep a piece of this graph for its own training
            handle.remove()


def _ways(graph: Graph, names: dict[int, str]) -> dict[Node | None, _Way]:
    """The nodes that lead to a parameter through views alone: its name, and those views."""
    ways: dict[Node | None, _Way] = {}
    for node in graph:
        views, last = [], node
        while kind_of(last) in _VIEWS and (source := graph[last][0]) is not None:
            views.append(last)
            last = source
        if kind_of(last) == "AccumulateGrad" and id(last.variable) in names:  # type: ignore[attr-defined]
            ways[node] = names[id(last.variable)], views  # type: ignore[attr-defined]
    return ways


def _diversion(ends: dict[int, _Way], take: Take) -> Callable[..., tuple[Tensor | None, ...]]:
    def divert(parts: tuple[Tensor | None, ...], _: Any) -> tuple[Tensor | None, ...]:
        kept = list(parts)
        for position, (name, views) in ends.items():
            part, kept[position] = kept[position], None
            if part is not None:
                for view in views:
                    part = view(part)  # type: ignore[operator]
                take(name, part)
        return tuple(kept)

    return divert
