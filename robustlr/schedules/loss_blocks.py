"""The losses of a run of any length, as at most `MAX_BLOCKS` means of equally long blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BLOCKS = 128


@dataclass(frozen=True, slots=True)
class LossBlocks:
    """Means of consecutive blocks of `size` losses, and the block that is still growing.

    size: a power of two; it doubles when the blocks would become too many.
    means: of the complete blocks, fewer than `MAX_BLOCKS`. pending, partial: the number of
    losses in the growing block, and their sum divided by `size`.

    >>> blocks = LossBlocks()
    >>> for loss in range(MAX_BLOCKS + 1):
    ...     blocks = blocks.add(float(loss))
    >>> blocks.size, len(blocks.means), blocks.means[:2], blocks.pending
    (2, 64, (0.5, 2.5), 1)
    """

    size: int = 1
    means: tuple[float, ...] = ()
    pending: int = 0
    partial: float = 0.0

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> LossBlocks:
        """From its fields, also after a round trip through JSON."""
        return cls(**{**values, "means": tuple(values["means"])})

    @property
    def losses(self) -> int:
        """How many losses the complete blocks hold."""
        return self.size * len(self.means)

    def add(self, loss: float) -> LossBlocks:
        """With one more loss."""
        # Divided before they are added, so that no sum of finite losses overflows.
        partial, pending = self.partial + loss / self.size, self.pending + 1
        if pending < self.size:
            return LossBlocks(self.size, self.means, pending, partial)
        means = (*self.means, partial)
        if len(means) < MAX_BLOCKS:
            return LossBlocks(self.size, means)
        halves = zip(means[::2], means[1::2], strict=True)
        return LossBlocks(2 * self.size, tuple(a / 2.0 + b / 2.0 for a, b in halves))
