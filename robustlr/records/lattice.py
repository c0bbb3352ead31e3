"""The grid behind a list of learning rates that somebody else chose.

Papers write 3e-4 between 1e-4 and 1e-3 and mean half a decade. Measures over grid resolutions
need integers: neighbours on the grid differ by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 0.12  # of a spacing: 3 for 10^0.5 is 0.05 off, 2 and 5 for thirds of a decade 0.1
_SAME = 5  # decimals of log₁₀ within which learning rates are one
_FINEST = 4  # spacings looked for are the smallest gap divided by 1 to this
_LEAST_FILL = 0.5  # of the grid's points: with fewer, any list of numbers is a grid with gaps
_IRREGULAR_PER_DECADE = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Where learning rates stand on a logarithmic grid.

    index: integer per learning rate, equal for equal ones, in the order given. spacing: decades
    between neighbouring integers. regular: the rates are such a grid, perhaps with gaps and
    rounded; otherwise the integers only keep the order and roughly the distances.
    largest_shift: decades by which the most rounded rate is off its grid point.
    """

    index: NDArray[np.int64]
    spacing: float
    regular: bool
    largest_shift: float

    @property
    def points_per_decade(self) -> int:
        return max(1, round(1.0 / self.spacing))


def find_lattice(learning_rates: NDArray[np.float64]) -> Lattice:
    """The coarsest logarithmic grid on which all `learning_rates` (positive, any order) lie.

    >>> find_lattice(np.array([1e-4, 3e-4, 1e-3, 1e-2])).index
    array([-8, -7, -6, -4])
    >>> find_lattice(np.array([1.0, 1.1, 7.3, 9.99])).regular
    False
    """
    # exports in single precision: 0.0010000000475 is 0.001
    logs = np.asarray(np.round(np.log10(learning_rates), _SAME), dtype=np.float64)
    points = np.unique(logs)
    gaps = np.diff(points)
    if not len(gaps):
        return _anchored(logs, points, spacing=1.0, regular=True)
    for divisor in range(1, _FINEST + 1):
        apart = np.rint(gaps * divisor / gaps.min())
        steps = np.concatenate([[0.0], np.cumsum(apart)])
        spacing = float(gaps.sum() / apart.sum())
        shifts = points - steps * spacing
        filled = len(points) / (steps[-1] + 1)
        if np.ptp(shifts) <= 2 * _ROUNDING * spacing and filled >= _LEAST_FILL:
            return _anchored(logs, points, spacing=spacing, regular=True)
    return _anchored(
        logs,
        points,
        spacing=min(1.0 / _IRREGULAR_PER_DECADE, float(gaps.min())),
        regular=False,
    )


def _anchored(
    logs: NDArray[np.float64], points: NDArray[np.float64], *, spacing: float, regular: bool
) -> Lattice:
    """Count from the point nearest to a learning rate of 1, so that whole decades stay so."""
    per_decade = round(1.0 / spacing)
    if per_decade and abs(spacing * per_decade - 1.0) <= _ROUNDING / 2:
        spacing = 1.0 / per_decade  # rounded decimals: half a decade, not 0.4993 of one
    offset = float(np.median(points - np.rint(points / spacing) * spacing))
    index = np.rint((logs - offset) / spacing)
    off = float(np.abs(logs - offset - index * spacing).max())
    return Lattice(
        index=index.astype(np.int64), spacing=spacing, regular=regular, largest_shift=off
    )
