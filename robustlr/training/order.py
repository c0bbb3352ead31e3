"""Which examples an update sees: a function of (seed, step) alone.

The same seed gives every schedule, every learning rate and every number of ranks the same
batches in the same order, so that comparisons are paired.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robustlr.errors import SpecError


class BatchOrder:
    """Shuffled passes over n examples in batches of B, the remainder of a pass left out.

    num_examples: n. batch_size: B ≤ n, over all ranks. seed: of the shuffles.
    Raises SpecError where a batch is larger than the data.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int) -> None:
        if batch_size > num_examples:
            raise SpecError(
                f"batch_size {batch_size} is larger than the {num_examples} training examples"
            )
        self._num_examples = num_examples
        self._batch_size = batch_size
        self._seed = seed
        self._batches_per_pass = num_examples // batch_size
        self._pass = -1
        self._shuffled = torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> Tensor:
        """Indices of the update at `step`, int64, shape [B]."""
        passes, position = divmod(step, self._batches_per_pass)
        if passes != self._pass:
            generator = torch.Generator().manual_seed(mixed_seed(self._seed, passes))
            self._shuffled = torch.randperm(self._num_examples, generator=generator)
            self._pass = passes
        start = position * self._batch_size
        return self._shuffled[start : start + self._batch_size]


def micro_batches(indices: Tensor, accumulation_steps: int, rank: int, ranks: int) -> list[Tensor]:
    """This rank's equal share of every micro-batch of an update.

    >>> micro_batches(torch.arange(8), 2, rank=1, ranks=2)
    [tensor([2, 3]), tensor([6, 7])]
    """
    if accumulation_steps == ranks == 1:
        return [indices]
    shares = indices.reshape(accumulation_steps, ranks, -1)
    return list(shares[:, rank].unbind())


def mixed_seed(*parts: int) -> int:
    """A seed that depends on every part; torch's CPU generator reads no more than 32 bits.

    >>> mixed_seed(0, 1) != mixed_seed(1, 0)
    True
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
