"""Has the loss exploded, or was that an outlier?

Rare classes and heavy tails make single losses far above the rest; an explosion stays. A block far
above all before it is thus only suspected, until the losses that follow it lie far above too.

    limit = max + max(2·(max − min), 0.1·(b − max))

with max and min over the blocks before, and b the suspected one, which must itself exceed the
first bound. The second is for losses that hardly differed until then. Nothing here depends on the
scale or the shift of the losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robustlr.schedules.loss_blocks import LossBlocks
from robustlr.schedules.minimum_test import MIN_POINTS

_FAR = 2.0  # in ranges of the blocks before
_ALIKE = 0.1  # how high the next losses must be, as a share of the suspected block's height
_LASTING = 3  # losses in a row: the suspected block counts as one


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A block that lay far above those `before` it, and how many losses in a row have since.

    limit: what the next loss must exceed. losses: so far, the block as one.
    """

    before: LossBlocks
    limit: float
    losses: int = 1

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Suspicion:
        """From its fields, also after a round trip through JSON."""
        return cls(**{**values, "before": LossBlocks.load(values["before"])})

    @property
    def confirmed(self) -> bool:
        """Whether it is an explosion."""
        return self.losses >= _LASTING


def suspected(
    held: Suspicion | None, before: LossBlocks, after: LossBlocks, loss: float
) -> Suspicion | None:
    """What is suspected after `loss`, which made `after` of the blocks `before`.

    held: what was suspected until then.
    """
    if held is not None:
        far = loss > held.limit
        return Suspicion(held.before, held.limit, held.losses + 1) if far else None
    if after.pending or len(before.means) < MIN_POINTS:
        return None
    last, highest = after.means[-1], max(before.means)
    if last <= highest:
        return None
    spread = highest - min(before.means)
    if spread <= 0.0 or last <= highest + _FAR * spread:
        return None
    return Suspicion(before, highest + max(_FAR * spread, _ALIKE * (last - highest)))
