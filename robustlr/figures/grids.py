"""What tuning on a coarser grid costs."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from robustlr.figures.axes import (
    crowded,
    numbers,
    present,
    ratio_axis,
    reference_line,
    series,
    share_scale,
)
from robustlr.figures.style import INK, Looks, legend, panels, styled


@styled
def regret_against_resolution(regret: pl.DataFrame, looks: Looks, *, epsilon: float) -> Figure:
    """Regret of tuning on every k-th learning rate: mean over the offsets, and the worst.

    regret: REGRET_SCHEMA, one setting. epsilon: the tolerated share, drawn as a line.
    """
    figure, axes = panels(1, 2, width=9.4, height=4.6, sharex=True, sharey=True)
    shown = present(regret, looks)
    bars = crowded(shown)
    for axis, column, title in (
        (axes[0], "regret_mean_share", "mean over where the grid falls"),
        (axes[1], "regret_worst_share", "worst place the grid can fall"),
    ):
        for position, (name, look) in enumerate(shown.items()):
            part = regret.filter(pl.col("schedule") == name)
            dodge = 1.0 + 0.012 * (position - (len(shown) - 1) / 2) if bars else 1.0
            series(axis, part, look, x="resolution", y=column, bars=bars, dodge=dodge)
        axis.set_title(title)
        axis.axhline(epsilon, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.5)
        reference_line(axis, y=0.0)
        ratio_axis(axis, "x", numbers(regret, "resolution"), "ratio of neighbouring learning rates")
    shares = [numbers(regret, f"regret_{kind}_share_high") for kind in ("mean", "worst")]
    shares += [numbers(regret, f"regret_{kind}_share_low") for kind in ("mean", "worst")]
    shares += [numbers(regret, f"regret_{kind}_share") for kind in ("mean", "worst")]
    share_scale(axes[0], epsilon, np.concatenate(shares), "regret, share of chance − best")
    line = Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    legend(figure, shown, extra=[(line, f"tolerated: ε = {100 * epsilon:g} %")])
    return figure
