"""The training batches of a run, from any update on.

What an update trains on is a function of the cell's seed and of the update's number alone: the
indices (order.py) and the random numbers of augmentation. So a feed is a map over the updates'
numbers, examples that take time may be prepared ahead, and to resume is to start at another number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from robustlr.specs import Cell
from robustlr.training.order import BatchOrder, micro_batches, mixed_seed
from robustlr.workloads import Batch, Draw, Examples, Request, StreamedExamples, stream

_AUGMENTATION = 1  # what the seeds are for: the shuffles have their own


class Feed:
    """This rank's micro-batches, update after update.

    examples: of the training split, where the model is. start: the first update.
    Raises SpecError where a batch is larger than the data. To be closed: processes may load data.
    """

    def __init__(
        self, examples: Examples, cell: Cell, *, rank: int = 0, ranks: int = 1, start: int = 0
    ) -> None:
        self._cell, self._rank, self._ranks = cell, rank, ranks
        self._order = BatchOrder(len(examples), cell.batch_size, cell.seed)
        self._draws = isinstance(examples, StreamedExamples)
        self._batches = stream(examples, self._requests(start))

    def update(self) -> list[Batch]:
        """The micro-batches of the next update."""
        return list(itertools.islice(self._batches, self._cell.training.accumulation_steps))

    def close(self) -> None:
        """Give back what loading holds."""
        self._batches.close()

    def _requests(self, start: int) -> Iterator[Request]:
        steps, size = self._cell.training.accumulation_steps, self._cell.batch_size
        places = micro_batches(torch.arange(size), steps, self._rank, self._ranks)
        for update in itertools.count(start):
            drawn = self._order.batch(update)
            micro = micro_batches(drawn, steps, self._rank, self._ranks)
            if not self._draws:
                yield from map(Request, micro)
                continue
            seed = mixed_seed(self._cell.seed, update, _AUGMENTATION)
            for indices, place in zip(micro, places, strict=True):
                yield Request(indices, Draw(seed, size, place))
