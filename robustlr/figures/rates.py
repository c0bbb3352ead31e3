"""Exponents and rates of convex problems, beside what the theory predicts."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlr.figures.axes import crowded, log_scale, numbers, present, reference_line, series
from robustlr.figures.dots import schedule_axis
from robustlr.figures.style import INK, MUTED, Looks, legend, panels, styled


@styled
def exponents(fitted: pl.DataFrame, predicted: pl.DataFrame, looks: Looks) -> Figure:
    """Fitted exponent of the excess in ρ with its interval, beside the predicted one.

    fitted: EXPONENT_SCHEMA, one setting. predicted: columns schedule, exponent.
    """
    known = fitted.drop_nulls("exponent")
    shown = [name for name in looks if name in set(known["schedule"])]
    figure, (axis,) = panels(width=7.6, height=1.4 + 0.42 * max(len(shown), 1))
    schedule_axis(axis, shown)
    for position, name in enumerate(shown):
        row = known.filter(pl.col("schedule") == name).row(0, named=True)
        look = looks[name]
        if row["exponent_low"] is not None:
            axis.hlines(
                position, row["exponent_low"], row["exponent_high"], color=look.colour, linewidth=2
            )
        axis.plot(row["exponent"], position, marker=look.marker, color=look.colour, markersize=8)
        theory = predicted.filter(pl.col("schedule") == name)["exponent"].drop_nulls()
        axis.plot(theory, [position] * len(theory), marker="|", color=INK, markersize=17, mew=2.2)
    axis.set_xlabel("exponent of the excess in ρ, towards too large learning rates")
    reference_line(axis, x=0.0)
    fit = Line2D([], [], color=MUTED, marker="o", linewidth=2)
    bar = Line2D([], [], color=INK, marker="|", linestyle="none", markersize=15, mew=2.2)
    legend(figure, {}, extra=[(fit, "fitted, 95 % interval"), (bar, "predicted by the bound")])
    return figure


@styled
def value_against_horizon(horizon: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """A quantity at the tuned learning rate against the horizon, beside a slope of −1/2.

    horizon: HORIZON_SCHEMA, one family and one quantity.
    """
    figure, (axis,) = panels(width=7.6, height=4.8)
    shown = present(horizon, looks)
    for name, look in shown.items():
        part = horizon.filter(pl.col("schedule") == name)
        series(axis, part, look, x="num_steps", y="value", bars=crowded(shown))
    steps, values = numbers(horizon, "num_steps"), numbers(horizon, "value")
    log_scale(axis, "x", steps)
    log_scale(axis, "y", np.concatenate([values, numbers(horizon, "value_low")]))
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive):
        ends = np.array([steps.min(), steps.max()])
        axis.plot(
            ends, positive.max() * np.sqrt(ends[0] / ends), color=MUTED, linestyle=":", zorder=1.5
        )
    axis.set_xlabel("horizon T (updates)")
    axis.set_ylabel(quantity)
    dotted = Line2D([], [], color=MUTED, linestyle=":")
    legend(figure, shown, extra=[(dotted, "falls like 1/√T")])
    return figure
