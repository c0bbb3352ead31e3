"""Batches one after the other: what is asked for, and with which random numbers.

Training and evaluation both ask for a sequence of batches that is known in advance. Examples in
memory answer each request when it comes. Examples that are augmented, or that take time to load,
are `StreamedExamples`: they see the sequence, and may prepare what is ahead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from robustlr.workloads.base import Batch, Examples


@dataclass(frozen=True)
class Draw:
    """The random numbers of some examples of an update's batch.

    seed: of the update. size: B, the update's examples over all ranks. places: those of these
    examples among the B. Numbers are drawn for all B and each asks for its own, on the CPU: the
    same for 1 or 2 ranks, with or without accumulation, on any device, after a resume.
    """

    seed: int
    size: int
    places: Tensor

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), float64, shape [len(places), *shape].

        >>> half = Draw(7, 4, torch.tensor([2, 3])).uniform(5)
        >>> bool((half == Draw(7, 4, torch.arange(4)).uniform(5)[2:]).all())
        True
        """
        generator = torch.Generator().manual_seed(self.seed)
        everybody = torch.rand(self.size, *shape, generator=generator, dtype=torch.float64)
        return everybody[self.places]


@dataclass(frozen=True)
class Request:
    """The examples at `indices` (int64, shape [B]); to train on with `draw`, else as they are."""

    indices: Tensor
    draw: Draw | None = None


@runtime_checkable
class StreamedExamples(Protocol):
    """Examples that make their batches from the whole sequence of requests."""

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        """A batch per request, in order. `requests` may be endless and is read ahead of need.

        A generator: what it holds (processes, files) is given back when it is closed.
        """
        ...


def stream(examples: Examples, requests: Iterable[Request]) -> Generator[Batch, None, None]:
    """A batch per request; a plain map where the examples have no stream of their own."""
    if isinstance(examples, StreamedExamples):
        return examples.stream(requests)
    return (examples.batch(request.indices) for request in requests)
