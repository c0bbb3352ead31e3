"""Axes: logarithmic where the quantity is a ratio, with ticks that read as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from robustlr.figures.style import MUTED, Look, Looks

FloatArray = NDArray[np.float64]
RHO = "ρ: learning rate over the schedule's tuned one"
_MOST_BANDS = 4
_WIDE = 12.0  # highest over lowest value from which a loss is drawn on a logarithmic axis


def numbers(frame: pl.DataFrame, name: str) -> FloatArray:
    """A column as floats, NaN for null; infinite values as NaN too, for they have no place."""
    values = frame[name].cast(pl.Float64()).fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def present(frame: pl.DataFrame, looks: Looks) -> Looks:
    """The looks of the schedules that have rows in `frame`, in their order."""
    names = set(frame["schedule"])
    return {name: look for name, look in looks.items() if name in names}


def crowded(shown: Looks) -> bool:
    """Whether the bands of so many schedules would hide one another."""
    return len(shown) > _MOST_BANDS


def series(
    axis: Axes,
    frame: pl.DataFrame,
    look: Look,
    *,
    x: str,
    y: str,
    bars: bool,
    dodge: float = 1.0,
) -> None:
    """One schedule: a line with markers; its interval is a band, or a bar at every point.

    bars: see `crowded`. dodge: factor on x that keeps the bars of several schedules apart.
    """
    frame = frame.drop_nulls([x, y]).sort(x)
    at, value = numbers(frame, x), numbers(frame, y)
    low, high = numbers(frame, f"{y}_low"), numbers(frame, f"{y}_high")
    axis.plot(at * dodge, value, color=look.colour, marker=look.marker, linestyle=look.dash)
    if bars:
        axis.vlines(at * dodge, low, high, color=look.colour, linewidth=1.1, alpha=0.65)
    else:
        axis.fill_between(at * dodge, low, high, color=look.colour, alpha=0.16, linewidth=0)


def learning_rate_axis(axis: Axes, rates: FloatArray) -> None:
    """x is a peak learning rate."""
    axis.set_xlabel("peak learning rate")
    log_scale(axis, "x", rates)


def ratio_axis(axis: Axes, which: Literal["x", "y"], values: FloatArray, label: str) -> None:
    """A logarithmic axis of factors: 0.1×, 1×, 10×."""
    getattr(axis, f"set_{which}label")(label)
    log_scale(axis, which, values)
    getattr(axis, f"{which}axis").set_major_formatter(FuncFormatter(lambda v, _: _power(v) + "×"))


def log_scale(axis: Axes, which: Literal["x", "y"], values: FloatArray) -> None:
    """A logarithmic axis around the positive values, with as many ticks as its range needs."""
    good = values[np.isfinite(values) & (values > 0)]
    low, high = (float(good.min()), float(good.max())) if len(good) else (1.0, 1.0)
    decades = math.log10(high / low)
    margin = 10 ** max(0.04 * decades, 0.03)
    getattr(axis, f"set_{which}scale")("log")
    getattr(axis, f"set_{which}lim")(low / margin, high * margin)
    ruler = getattr(axis, f"{which}axis")
    steps: Sequence[float] = (1.0,) if decades > 2 else (1.0, 2.0, 5.0)
    if decades < 0.5:
        # within a factor of three a logarithm is nearly a line: round numbers, evenly
        ruler.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    else:
        ruler.set_major_locator(LogLocator(base=10, subs=steps, numticks=12))
    ruler.set_major_formatter(FuncFormatter(lambda v, _: _power(v)))
    ruler.set_minor_formatter(NullFormatter())


def value_scale(axis: Axes, *columns: FloatArray) -> None:
    """y is a loss or a metric: logarithmic where all of it is positive and its range is wide."""
    values = np.concatenate([column[np.isfinite(column)] for column in columns])
    if len(values) and values.min() > 0 and values.max() / values.min() > _WIDE:
        log_scale(axis, "y", values)


def share_scale(axis: Axes, epsilon: float, values: FloatArray, label: str) -> None:
    """y is a share of the range between chance and best: logarithmic, but zero has a place.

    Linear up to ε/10, either side of zero, and logarithmic beyond.
    """
    axis.set_ylabel(label)
    finite = values[np.isfinite(values)]
    signed_log_scale(
        axis,
        linear=epsilon / 10.0,
        low=float(finite.min(initial=0.0)),
        high=max(float(finite.max(initial=0.0)), 2 * epsilon),
    )
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))


def signed_log_scale(axis: Axes, *, linear: float, low: float, high: float) -> None:
    """y is linear up to `linear` either side of zero, and logarithmic beyond: low to high."""
    axis.set_yscale("symlog", linthresh=linear, linscale=0.5)
    high, low = high * 1.4, min(low * 1.4, -0.3 * linear)
    axis.set_ylim(low, high)
    first = math.ceil(math.log10(linear) - 1e-9)
    last = math.floor(math.log10(max(high, -low)))
    ticks = [10.0**power for power in range(first, last + 1)]
    both = [0.0, *ticks, *(-tick for tick in ticks)]
    axis.yaxis.set_major_locator(FixedLocator([tick for tick in both if low <= tick <= high]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _power(v)))
    axis.yaxis.set_minor_locator(FixedLocator([]))


def reference_line(axis: Axes, *, x: float | None = None, y: float | None = None) -> None:
    """A thin line that marks where nothing is lost or gained."""
    if x is not None:
        axis.axvline(x, color=MUTED, linewidth=1.0, zorder=1.5)
    if y is not None:
        axis.axhline(y, color=MUTED, linewidth=1.0, zorder=1.5)


def _power(value: float) -> str:
    """1000 and 0.01 as they are; 10⁻⁵ beyond.

    >>> [_power(v) for v in (0.5, 0.001, 1e-5, 3e6)]
    ['0.5', '0.001', '$10^{-5}$', '$3\\\\cdot10^{6}$']
    """
    if value == 0 or 1e-3 <= abs(value) * (1 + 1e-9) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    mantissa = value / 10.0**exponent
    head = "" if abs(mantissa - 1) < 1e-6 else rf"{mantissa:g}\cdot"
    return f"${head}10^{{{exponent}}}$"
