"""Intervals of ratios that were timed in rounds, and what they say of a limit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000


class Interval(NamedTuple):
    """A ratio and the 95 % interval of its sampling error."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: ArrayLike, base: ArrayLike = 1.0) -> Interval:
        """The mean over places of the median over rounds of `values`, over that of `base`.

        values: [rounds, places]; base: the same, measured in the same rounds, or the number 1. The
        rounds are resampled, each with all that it holds: what spoils a round spoils it together.
        Medians of few rounds lie too high where some rounds are slow; so do those of the base.
        """
        tables = np.broadcast_arrays(np.asarray(values, float), np.asarray(base, float))
        rounds = len(tables[0])
        drawn = np.random.default_rng(0).integers(rounds, size=(RESAMPLES, rounds))
        whole, again = (
            np.divide(*(_mean_of_medians(table, rows) for table in tables))
            for rows in (np.arange(rounds)[None], drawn)
        )
        return cls(float(whole[0]), *map(float, np.percentile(again, (2.5, 97.5))))

    def verdict(self, limit: float) -> str:
        """Of the whole interval: where it lies on both sides of the limit, nothing is decided."""
        if self.low > limit:
            return "missed"
        return "met" if self.high <= limit else "not decided"

    def shown(self, form: str) -> str:
        return f"{self.middle:{form}} [{self.low:{form}}, {self.high:{form}}]"

    def __sub__(self, number: float) -> Interval:
        return Interval(*(part - number for part in self))

    def __truediv__(self, number: float) -> Interval:
        return Interval(*(part / number for part in self))


def _mean_of_medians(table: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """By draw, for rows: [draws, rounds]; one place after the other, as draws are many."""
    return np.mean([np.median(place[rows], axis=1) for place in table.T], axis=0)
