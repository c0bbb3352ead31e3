"""Training as it went: loss curves and learning rates at the tuned learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlr.figures.axes import numbers, present, value_scale
from robustlr.figures.style import INK, Looks, legend, panels, styled


@styled
def loss_curves(curves: pl.DataFrame, looks: Looks, *, target: float | None) -> Figure:
    """Validation loss (median and quartiles over seeds) and learning rate against updates.

    curves: columns schedule, step, loss, loss_low, loss_high, lr; runs at the tuned learning rate.
    target: the loss that counts as reached, drawn as a line.
    """
    figure, (left, right) = panels(1, 2, width=9.4, height=4.2, sharex=True)
    shown = present(curves, looks)
    for name, look in shown.items():
        part = curves.filter(pl.col("schedule") == name).sort("step")
        seen = part.drop_nulls("loss")
        style: dict[str, Any] = {"color": look.colour, "linestyle": look.dash}
        style |= {"marker": look.marker, "markevery": max(1, len(part) // 8)}
        left.plot(seen["step"], seen["loss"], **style)
        left.fill_between(
            seen["step"], numbers(seen, "loss_low"), numbers(seen, "loss_high"),
            color=look.colour, alpha=0.13, linewidth=0,
        )  # fmt: skip
        applied = part.drop_nulls("lr")
        right.plot(applied["step"], applied["lr"], **style)
    if target is not None:
        left.axhline(target, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    value_scale(left, numbers(curves, "loss"), numbers(curves, "loss_low"))
    left.set_title("validation loss at the tuned learning rate")
    right.set_title("learning rate applied")
    left.set_ylabel("validation loss")
    right.set_ylabel("learning rate")
    for axis in (left, right):
        axis.set_xlabel("updates")
    rates = numbers(curves.filter(pl.col("lr") > 0), "lr")
    if len(rates) and rates.max() / np.median(rates) > 30:
        right.set_yscale("symlog", linthresh=float(np.median(rates)))
    line = Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    legend(figure, shown, extra=[(line, "target")] if target is not None else [])
    return figure
