"""What a learning rate costs: the mean over seeds, and the spread with its danger zone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from robustlr.figures.axes import (
    crowded,
    learning_rate_axis,
    numbers,
    present,
    series,
    value_scale,
)
from robustlr.figures.style import DANGER, INK, Looks, drawable, legend, panels, styled, wrapped


@styled
def value_against_learning_rate(per_lr: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """Mean over seeds with its interval; a ring marks the tuned learning rate.

    per_lr: PER_LR_SCHEMA, one setting. quantity: what `value` is, for the axis.
    """
    figure, (axis,) = panels(width=7.6, height=4.8)
    shown = present(per_lr, looks)
    for name, look in shown.items():
        part = per_lr.filter(pl.col("schedule") == name)
        series(axis, part, look, x="peak_lr", y="value", bars=crowded(shown))
        tuned = part.filter("tuned")
        axis.plot(
            tuned["peak_lr"],
            tuned["value"],
            linestyle="none",
            marker="o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=look.colour,
            markeredgewidth=1.8,
        )
    learning_rate_axis(axis, numbers(per_lr, "peak_lr"))
    axis.set_ylabel(f"{quantity}, mean over seeds")
    value_scale(axis, numbers(per_lr, "value"), numbers(per_lr, "value_low"))
    ring = Line2D(
        [], [], linestyle="none", marker="o", markersize=11, markerfacecolor="none", color=INK
    )
    legend(figure, shown, extra=[(ring, "tuned learning rate")])
    return figure


@styled
def seed_spread(per_lr: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """One panel per schedule: quartiles and extremes over seeds, and the share that diverged.

    per_lr: PER_LR_SCHEMA, one setting.
    """
    shown = present(per_lr, looks)
    columns = 2 if len(shown) in (2, 4) else min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure, axes = panels(
        rows, columns, width=9.4 if columns > 1 else 5.6, height=2.5 * rows + 0.9,
        sharex=True, sharey=True,
    )  # fmt: skip
    value_scale(axes[0], numbers(per_lr, "value_max"), numbers(per_lr, "value_min"))
    for axis, (name, look) in zip(axes, shown.items(), strict=False):
        part = per_lr.filter(pl.col("schedule") == name).sort("peak_lr")
        at = numbers(part, "peak_lr")
        fill: dict[str, Any] = {"color": look.colour, "linewidth": 0}
        axis.fill_between(
            at, numbers(part, "value_min"), numbers(part, "value_max"), alpha=0.15, **fill
        )
        axis.fill_between(
            at,
            numbers(part, "value_quarter"),
            numbers(part, "value_three_quarters"),
            alpha=0.35,
            **fill,
        )
        axis.plot(at, numbers(part, "value"), color=look.colour, marker=look.marker, markersize=4)
        _danger(axis, at, numbers(part, "divergence_rate"))
        axis.set_title(wrapped(drawable(name), 30))
        learning_rate_axis(axis, numbers(per_lr, "peak_lr"))
        axis.set_ylabel(quantity)
        axis.label_outer()
    for axis in axes[len(shown) :]:
        axis.remove()
    for axis in axes[len(shown) - columns : len(shown)]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("peak learning rate")
    extra: list[tuple[Any, str]] = [
        (Line2D([], [], color=INK, marker="o", markersize=4), "mean"),
        (Patch(color=INK, alpha=0.35), "middle half of the seeds"),
        (Patch(color=INK, alpha=0.15), "all seeds"),
    ]
    if (numbers(per_lr, "divergence_rate") > 0).any():
        extra.append((Patch(color=DANGER, alpha=0.55), "share of runs that diverged (right scale)"))
    legend(figure, {}, extra=extra)
    return figure


def _danger(axis: Axes, at: np.ndarray[tuple[int], np.dtype[np.float64]], rate: object) -> None:
    """Bars from below, full height where every run diverged."""
    twin = axis.twinx()
    twin.set_ylim(0, 1)
    twin.grid(visible=False)
    for spine in twin.spines.values():
        spine.set_visible(False)
    some = bool(np.any(np.nan_to_num(np.asarray(rate)) > 0))
    twin.set_yticks([0, 0.5, 1] if some else [], ["0", "½", "all"] if some else [])
    twin.tick_params(axis="y", length=0, colors=DANGER, labelsize=8)
    factor = 10 ** (0.35 * float(np.median(np.diff(np.log10(at))))) if len(at) > 1 else 1.1
    twin.bar(
        at / factor,
        np.nan_to_num(np.asarray(rate)),
        width=at * factor - at / factor,
        align="edge",
        color=DANGER,
        alpha=0.55,
        linewidth=0,
    )
    twin.set_zorder(axis.get_zorder() - 1)
    axis.patch.set_visible(False)
