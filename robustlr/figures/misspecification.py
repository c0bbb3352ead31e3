"""How much a learning rate that is wrong by a factor ρ costs, each schedule on its own centre."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlr.figures.axes import (
    RHO,
    crowded,
    numbers,
    present,
    ratio_axis,
    reference_line,
    series,
    signed_log_scale,
)
from robustlr.figures.style import INK, Looks, legend, panels, styled


@styled
def misspecification_curves(curves: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """Excess over the schedule's own best, and over the best of all, against ρ.

    curves: MISSPECIFICATION_SCHEMA, one setting.
    """
    figure, axes = panels(1, 2, width=9.4, height=4.4, sharex=True, sharey=True)
    shown = present(curves, looks)
    for axis, column, title in (
        (axes[0], "excess_over_own_best", "over its own tuned value"),
        (axes[1], "excess_over_best", "over the best schedule's tuned value"),
    ):
        for name, look in shown.items():
            part = curves.filter(pl.col("schedule") == name)
            series(axis, part, look, x="rho", y=column, bars=crowded(shown))
        axis.set_title(title)
        reference_line(axis, x=1.0, y=0.0)
        ratio_axis(axis, "x", numbers(curves, "rho"), RHO)
    _bounded(axes[0], curves)
    axes[0].set_ylabel(f"excess {quantity}")
    legend(figure, shown)
    return figure


@styled
def misspecification_against_theory(
    curves: pl.DataFrame, predicted: pl.DataFrame, looks: Looks
) -> Figure:
    """Excess over the known optimum relative to ρ = 1, with the bound's shape as a thin line.

    curves: MISSPECIFICATION_SCHEMA, one setting with a known optimum. predicted: columns
    schedule, rho, ratio.
    """
    figure, (axis,) = panels(width=7.6, height=5.2)
    known = curves.drop_nulls("excess_ratio")
    shown = present(known, looks)
    for name, look in shown.items():
        part = known.filter(pl.col("schedule") == name)
        series(axis, part, look, x="rho", y="excess_ratio", bars=crowded(shown))
        theory = predicted.filter(pl.col("schedule") == name).sort("rho")
        axis.plot(
            theory["rho"], theory["ratio"], color=look.colour, linewidth=1.0, linestyle=(0, (2, 2))
        )
    reference_line(axis, x=1.0, y=1.0)
    ratio_axis(axis, "x", numbers(known, "rho"), RHO)
    heights = np.concatenate([numbers(known, "excess_ratio"), numbers(known, "excess_ratio_low")])
    ratio_axis(axis, "y", heights, "excess over the optimum, relative to ρ = 1")
    theory_line = Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (2, 2)))
    legend(figure, shown, extra=[(theory_line, "predicted by the bound")])
    return figure


def _bounded(axis: Axes, curves: pl.DataFrame) -> None:
    """Excess spans decades: logarithmic away from zero, linear where it is below one per cent."""
    # a resample may choose another centre, so an interval may reach below zero
    columns = ("excess_over_own_best", "excess_over_best")
    values = np.concatenate([numbers(curves, name) for name in columns])
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if largest > 0:
        signed_log_scale(axis, linear=0.01 * largest, low=float(np.nanmin(values)), high=largest)
