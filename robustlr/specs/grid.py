"""The learning rates of a study: points of an exact logarithmic lattice.

A learning rate is named by the exact rational exponent of ten it is, not by a float: the
point k of a grid with p points per decade is 10^(k/p), and 10^(6/8) is the point 10^(3/4).
That is why widening or refining a grid keeps every old cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from robustlr.errors import SpecError

_TOLERANCE = 1e-9  # in decades: bounds written in decimal are not exact powers of ten
_FINEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRateGrid:
    """All 10^(k/p) with low ≤ 10^(k/p) ≤ high, k integer.

    low, high: bounds of the peak learning rate, both inside the grid if on the lattice.
    points_per_decade: p from 1 to 1000; the grid's ratio is r = 10^(1/p).

    Raises SpecError for bounds that are not positive and finite, or an empty grid.

    >>> [round(lr, 4) for lr in LearningRateGrid(low=0.01, high=1, points_per_decade=2)]
    [0.01, 0.0316, 0.1, 0.3162, 1.0]
    """

    low: float
    high: float
    points_per_decade: int = 4

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"{name} must be a positive learning rate, got {value}")
        if not 1 <= self.points_per_decade <= _FINEST:
            raise SpecError(
                f"points_per_decade must be between 1 and {_FINEST}, got {self.points_per_decade}"
            )
        if self.high < self.low:
            raise SpecError(f"high ({self.high:g}) is below low ({self.low:g})")
        if not self.indices:
            raise SpecError(
                f"the grid is empty: no 10^(k/{self.points_per_decade}) lies between "
                f"{self.low:g} and {self.high:g}"
            )

    @property
    def ratio(self) -> float:
        """r, the factor between neighbours."""
        return float(10.0 ** (1.0 / self.points_per_decade))

    @property
    def indices(self) -> range:
        """The integers k of the grid's points."""
        first = math.ceil(math.log10(self.low) * self.points_per_decade - _TOLERANCE)
        last = math.floor(math.log10(self.high) * self.points_per_decade + _TOLERANCE)
        return range(first, last + 1)

    @property
    def exponents(self) -> tuple[Fraction, ...]:
        """log₁₀ of every point, exactly."""
        return tuple(Fraction(k, self.points_per_decade) for k in self.indices)

    def __iter__(self) -> Iterator[float]:
        return (learning_rate(exponent) for exponent in self.exponents)

    def __len__(self) -> int:
        return len(self.indices)


def learning_rate(exponent: Fraction) -> float:
    """10^exponent as a float.

    >>> learning_rate(Fraction(6, 8)) == learning_rate(Fraction(3, 4))
    True
    """
    return float(10.0 ** float(exponent))
