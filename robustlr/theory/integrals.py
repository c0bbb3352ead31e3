"""The two integrals of a schedule's shape on which the bounds stand.

Notation
    h(u)    the shape: the multiplier at the fraction u of the horizon, 0 ≤ u ≤ 1
    H(τ)    ∫_τ^1 h(u) du
    Q(τ)    ∫_τ^1 h(u)²/H(u) du
    s       distance to the end of training, where both vanish
    p       order of the end: h ~ s^p, so H ~ s^(p+1) and Q ~ s^p

Q is finite only where the shape anneals to zero (p > 0): a shape that ends above zero makes
it grow with the logarithm of the horizon. Everything that matters for large learning rates
happens at small s, so the panels of the quadrature are spaced geometrically towards the end
and halved wherever a kink or a jump of the shape needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline

from robustlr.errors import SpecError
from robustlr.schedules.base import FloatArray

SMALLEST = 2.0**-40  # of the horizon: where the power law of the end takes over
_ANNEALED = 1e-5  # of the largest multiplier: an end below this counts as zero
_VISIBLE = 1e-7  # of the largest multiplier: far above what rounding leaves of a cosine's end
_TOLERANCE = 1e-10  # relative, per panel
_ROUNDING = 1e-12  # of the largest multiplier: what a shape's own rounding may hide
_MOST_PANELS = 20_000

_NODES = (np.polynomial.legendre.leggauss(8)[0] + 1.0) / 2.0
_WEIGHTS = np.polynomial.legendre.leggauss(8)[1] / 2.0
_POWERS = np.arange(8)
# integrates the interpolating polynomial from a panel's start to each of its nodes
_CUMULATIVE = (_NODES[:, None] ** (_POWERS + 1) / (_POWERS + 1)) @ np.linalg.inv(
    _NODES[:, None] ** _POWERS
)

Shape = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Integrals:
    """H and Q of one shape at every τ. Made by `integrate`.

    end: the fraction of the horizon after which the shape is zero for good, usually 1.
    order: p. annealed: whether the shape ends at zero; where it does not, Q is infinite.
    square: ∫_0^1 h², for the averaged iterate.
    """

    end: float
    order: float
    annealed: bool
    square: float
    _s: FloatArray
    _h: FloatArray
    _H: FloatArray
    _Q: FloatArray

    def H(self, tau: ArrayLike) -> FloatArray:  # noqa: N802
        """∫_τ^1 h, any shape in, same shape out."""
        return self._at(self._log_mass, self.order + 1.0, tau)

    def Q(self, tau: ArrayLike) -> FloatArray:  # noqa: N802
        """∫_τ^1 h²/H; infinite where the shape does not anneal to zero."""
        if not self.annealed:
            return np.full_like(np.asarray(tau, dtype=np.float64), np.inf)
        return self._at(self._log_noise, self.order, tau)

    def _at(self, log_spline: CubicHermiteSpline, power: float, tau: ArrayLike) -> FloatArray:
        s = np.clip(self.end - np.asarray(tau, dtype=np.float64), 0.0, self.end)
        first = np.exp(log_spline.x[0])
        within = np.exp(log_spline(np.log(np.clip(s, first, self.end))))
        return np.asarray(np.where(s < first, within * (s / first) ** power, within))

    @cached_property
    def _log_mass(self) -> CubicHermiteSpline:
        return self._log_log(self._H, self._h)

    @cached_property
    def _log_noise(self) -> CubicHermiteSpline:
        return self._log_log(self._Q, _ratio(self._h**2, self._H))

    def _log_log(self, values: FloatArray, slopes: FloatArray) -> CubicHermiteSpline:
        # in logarithms a power of s is a straight line, and so is the end of every shape
        seen = values > 0
        s, values, slopes = self._s[seen], values[seen], slopes[seen]
        return CubicHermiteSpline(np.log(s), np.log(values), s * slopes / values)


def integrate(shape: Shape) -> Integrals:
    """H and Q of `shape`, a vectorised function on [0, 1] with values ≥ 0.

    Raises SpecError where the shape is negative, not finite, or zero everywhere.

    >>> import numpy as np
    >>> linear = integrate(lambda u: 1 - u)
    >>> np.round([linear.H(0.5), linear.Q(0.5)], 9)
    array([0.125, 1.   ])
    """
    end, largest = _support(shape)
    edges = _panels(shape, end, largest)
    width = np.diff(edges)
    s = edges[:-1, None] + width[:, None] * _NODES
    h = _evaluate(shape, end - s)

    first_h = float(_evaluate(shape, np.array(end - edges[0])))
    nearer_h = float(_evaluate(shape, np.array(end - edges[0] / 2**8)))
    order = max(np.log2(first_h / nearer_h) / 8.0, 1e-3) if min(first_h, nearer_h) > 0 else 1.0
    annealed = first_h <= _ANNEALED * largest or nearer_h < first_h * (1 - 1e-4)

    H, H_edges = _accumulate(width, h, start=edges[0] * first_h / (order + 1.0))
    Q, Q_edges = _accumulate(width, _ratio(h**2, H), start=first_h * (order + 1.0) / order)
    return Integrals(
        end=end,
        order=_order(edges, H_edges, _evaluate(shape, end - edges), largest) if annealed else 0.0,
        annealed=annealed,
        square=float(width @ (h**2 @ _WEIGHTS)),
        _s=np.append(s.ravel(), edges[-1]),
        _h=np.append(h.ravel(), _evaluate(shape, np.array(0.0))),
        _H=np.append(H.ravel(), H_edges[-1]),
        _Q=np.append(Q.ravel(), Q_edges[-1]),
    )


def _accumulate(width: FloatArray, f: FloatArray, start: float) -> tuple[FloatArray, FloatArray]:
    """∫f from the end up to every node [panels, 8] and every edge [panels + 1]."""
    edges = start + np.concatenate([[0.0], np.cumsum(width * (f @ _WEIGHTS))])
    return edges[:-1, None] + width[:, None] * (f @ _CUMULATIVE.T), edges


def _order(edges: FloatArray, H: FloatArray, h: FloatArray, largest: float) -> float:
    """p from H ~ s^(p+1), as near the end as the shape is still well above its rounding."""
    visible = int(np.argmax(h >= max(_VISIBLE * largest, 100.0 * h[0])))
    later = int(np.searchsorted(edges, 2.0 * edges[visible]))
    if later == len(edges):  # annealed only in the very last moment before the whole horizon
        visible, later = 0, 1
    slope = np.log(H[later] / H[visible]) / np.log(edges[later] / edges[visible])
    return float(slope - 1.0)


def _support(shape: Shape) -> tuple[float, float]:
    """Where the shape's last positive value is, and its largest value."""
    probes = np.unique(
        np.concatenate([np.linspace(0.0, 1.0, 4097), 1.0 - 2.0 ** np.arange(0.0, -41.0, -1.0)])
    )
    values = _evaluate(shape, probes)
    positive = np.flatnonzero(values > 0)
    if not len(positive):
        raise SpecError("the schedule's multiplier is zero over the whole horizon")
    last = int(positive[-1])
    if last >= len(probes) - 2:  # zero at u = 1 alone, as every annealed shape
        return 1.0, float(values.max())
    low, high = probes[last], probes[last + 1]
    for _ in range(50):
        middle = (low + high) / 2.0
        positive_there = float(_evaluate(shape, np.array(middle))) > 0
        low, high = (middle, high) if positive_there else (low, middle)
    # rounding flattens the end of a smooth shape (cosine below s = 1e-8): that is no plateau
    return (1.0 if 1.0 - low < 1e-6 else float(low)), float(values.max())


def _panels(shape: Shape, end: float, largest: float) -> FloatArray:
    """Edges in s, ascending: geometric from the end, halved until the quadrature has converged."""
    towards_end = end * SMALLEST ** np.linspace(1.0, 0.0, 161)
    towards_start = end * (1.0 - 2.0 ** np.arange(-2.0, -24.0, -1.0))  # a short warmup is there
    inside = end * np.arange(1, 64) / 64
    edges = np.unique(np.concatenate([towards_end, towards_start, inside]))
    edges = edges[np.append(np.diff(edges) > 1e-9 * edges[1:], True)]
    pending = np.ones(len(edges) - 1, dtype=bool)
    for _ in range(40):
        left, right = edges[:-1][pending], edges[1:][pending]
        middle = (left + right) / 2.0
        whole, parts = np.zeros((2, len(left), 2)), np.zeros((2, len(left), 2))
        for power in (1, 2):
            whole[power - 1, :, 0] = _gauss(shape, end, left, right, power)
            parts[power - 1, :, 0] = _gauss(shape, end, left, middle, power)
            parts[power - 1, :, 1] = _gauss(shape, end, middle, right, power)
        error = np.abs(whole.sum(axis=2) - parts.sum(axis=2))
        scale = largest ** np.array([[1.0], [2.0]])
        allowed = _TOLERANCE * parts.sum(axis=2) + _ROUNDING * scale * (right - left)
        split = (error > allowed).any(axis=0) & (right - left > 1e-13)
        if not split.any() or len(edges) + split.sum() > _MOST_PANELS:
            break
        new = middle[split]
        settled = edges[1:][~pending]
        settled = np.concatenate([settled, right[~split]])
        edges = np.sort(np.concatenate([edges, new]))
        pending = ~np.isin(edges[1:], settled)
    return edges


def _gauss(shape: Shape, end: float, left: FloatArray, right: FloatArray, power: int) -> FloatArray:
    width = right - left
    values = _evaluate(shape, end - (left[:, None] + width[:, None] * _NODES))
    return np.asarray(width * (values**power @ _WEIGHTS))


def _evaluate(shape: Shape, u: FloatArray) -> FloatArray:
    values = np.asarray(shape(np.clip(u, 0.0, 1.0)), dtype=np.float64)
    if values.shape != u.shape:
        raise SpecError(
            f"the schedule's multiplier must keep the shape {u.shape} of step, got {values.shape}"
        )
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        raise SpecError(
            f"the schedule's multiplier must be finite and at least 0, "
            f"got {values[bad].flat[0]} at {u[bad].flat[0]:.3g} of the horizon"
        )
    return values


def _ratio(over: FloatArray, under: FloatArray) -> FloatArray:
    """over/under, 0 where both vanish (beyond the last positive multiplier)."""
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)
