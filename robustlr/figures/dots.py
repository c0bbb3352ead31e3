"""One row per schedule, a dot with its interval: tolerated grids, runs saved, sensitivity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robustlr.figures.axes import numbers, ratio_axis, reference_line
from robustlr.figures.style import INK, MUTED, PAPER, Look, Looks, drawable, legend, panels, styled


def schedule_axis(axis: Axes, names: Sequence[str]) -> None:
    """y is the schedule, the first one on top."""
    axis.set_yticks(range(len(names)), [drawable(name) for name in names])
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")


@styled
def tolerated_grids(tolerance: pl.DataFrame, looks: Looks, *, baseline: str) -> Figure:
    """The coarsest grid each schedule tolerates, and the runs that saves over the baseline.

    tolerance: TOLERANCE_SCHEMA, one setting; both references, own filled and best hollow.
    """
    names = [name for name in looks if name in set(tolerance["schedule"])]
    figure, (left, right) = panels(1, 2, width=9.4, height=1.7 + 0.42 * len(names), sharey=True)
    schedule_axis(left, names)
    right.grid(visible=False, axis="y")
    for shift, reference in ((-0.14, "own"), (0.14, "best")):
        part = tolerance.filter(pl.col("reference") == reference)
        for position, name in enumerate(names):
            row = part.filter(pl.col("schedule") == name)
            if not len(row):
                continue
            filled = reference == "own"
            _dot(left, row, "resolution", position + shift, looks[name], filled=filled)
            _dot(right, row, "runs_saved", position + shift, looks[name], filled=filled)
            if row["resolution"][0] is None:
                left.text(
                    0.01, position + shift, "none within tolerance", color=MUTED, fontsize=7.5,
                    va="center", transform=left.get_yaxis_transform(),
                )  # fmt: skip
    ends = [numbers(tolerance, f"resolution{end}") for end in ("", "_low", "_high")]
    ratio_axis(left, "x", np.append(np.concatenate(ends), 1.0), "coarsest grid tolerated (ratio)")
    right.set_xlabel(f"runs saved per seed against {drawable(baseline)}")
    right.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    reference_line(right, x=0.0)
    legend(figure, {}, extra=[_handle("o", True, "within ε of its own tuned value"),
                              _handle("o", False, "within ε of the best schedule's")])  # fmt: skip
    return figure


@styled
def sensitivities(sensitivity: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """Learning-rate sensitivity: own three decades filled, the common range hollow.

    sensitivity: SENSITIVITY_SCHEMA, one setting.
    """
    names = [name for name in looks if name in set(sensitivity["schedule"])]
    figure, axes = panels(1, 2, width=9.4, height=1.7 + 0.42 * len(names), sharey=True)
    schedule_axis(axes[0], names)
    axes[1].grid(visible=False, axis="y")
    for axis, column, title in (
        (axes[0], "sensitivity", "over its own best in the window"),
        (axes[1], "excess_over_best", "over the best schedule's tuned value"),
    ):
        for shift, window in ((-0.14, "own"), (0.14, "common")):
            part = sensitivity.filter(pl.col("window") == window)
            for position, name in enumerate(names):
                row = part.filter(pl.col("schedule") == name)
                if len(row):
                    _dot(axis, row, column, position + shift, looks[name], filled=window == "own")
        axis.set_title(title)
        axis.set_xlabel(f"mean excess {quantity}")
        axis.set_xlim(left=min(0.0, axis.get_xlim()[0]))
    legend(figure, {}, extra=[_handle("o", True, "three decades around its own optimum"),
                              _handle("o", False, "the range all schedules share")])  # fmt: skip
    return figure


def _dot(
    axis: Axes, row: pl.DataFrame, column: str, at: float, look: Look, *, filled: bool
) -> None:
    value, low, high = (numbers(row, f"{column}{end}")[0] for end in ("", "_low", "_high"))
    if np.isfinite(low) and np.isfinite(high):
        axis.hlines(at, low, high, color=look.colour, linewidth=2.0 if filled else 1.2)
    axis.plot(
        value,
        at,
        marker=look.marker,
        markersize=8,
        color=look.colour,
        markerfacecolor=look.colour if filled else PAPER,
        markeredgewidth=1.5,
        linestyle="none",
    )


def _handle(marker: str, filled: bool, label: str) -> tuple[Line2D, str]:
    face = INK if filled else "none"
    line = Line2D(
        [], [], color=INK, marker=marker, markerfacecolor=face, linewidth=2.0 if filled else 1.2
    )
    return line, label
