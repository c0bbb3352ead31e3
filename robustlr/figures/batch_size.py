"""Over batch sizes: where the tuned learning rate goes, and what a schedule picks by itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from robustlr.figures.axes import FloatArray, log_scale, numbers, present, series, value_scale
from robustlr.figures.style import INK, MUTED, PAPER, Look, Looks, drawable, legend, panels, styled

_PICKED = "*"  # no schedule's marker


@styled
def tuned_against_batch_size(tuned: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """One row per family: the tuned learning rate, and the value there, against batch size.

    tuned: columns family, schedule, batch_size, peak_lr, edge, value, each of the two quantities
    with its interval; linear_lr, what linear scaling predicts; picked_lr and untuned_value, what
    the schedule picked by itself at its largest learning rate, and came to. quantity: what
    `value` is, for the axis.
    """
    families = tuned["family"].unique(maintain_order=True).to_list()
    shown = present(tuned, looks)
    figure, axes = panels(
        len(families), 2, width=9.4, height=2.5 * len(families) + 1.2,
        sharex=True, sharey="col",
    )  # fmt: skip
    for left, right, family in zip(axes[::2], axes[1::2], families, strict=True):
        part = tuned.filter(pl.col("family") == family)
        line = part.drop_nulls("linear_lr").unique("batch_size").sort("batch_size")
        left.plot(
            line["batch_size"], line["linear_lr"], color=MUTED, linestyle=":", linewidth=1.2,
            zorder=1.5,
        )  # fmt: skip
        for place, (name, look) in enumerate(shown.items()):
            dodge = 1.05 ** (place - (len(shown) - 1) / 2)
            rows = part.filter(pl.col("schedule") == name)
            for axis, column, untuned in (
                (left, "peak_lr", "picked_lr"),
                (right, "value", "untuned_value"),
            ):
                series(axis, rows, look, x="batch_size", y=column, bars=True, dodge=dodge)
                _hollow(axis, rows.filter("edge"), look, "batch_size", column, dodge=dodge)
                _hollow(axis, rows, look, "batch_size", untuned, marker=_PICKED, dodge=dodge)
        left.set_title(drawable(family))
        left.set_ylabel("peak learning rate")
        right.set_ylabel(quantity)
        right.tick_params(labelleft=True)
    for axis in axes:
        _batch_size_axis(axis, numbers(tuned, "batch_size"))
    for axis in axes[-2:]:
        axis.set_xlabel("batch size (examples)")
    log_scale(axes[0], "y", _all(tuned, "peak_lr", "peak_lr_low", "peak_lr_high", "picked_lr"))
    value_scale(axes[1], _all(tuned, "value", "value_low", "untuned_value"))
    legend(figure, shown, extra=_handles(tuned))
    return figure


@styled
def picked_against_highest(picked: pl.DataFrame, looks: Looks, *, quantity: str) -> Figure:
    """One row per family and schedule: the picked learning rate, and the value, against lr_max.

    picked: columns family, schedule, batch_size, peak_lr (lr_max), picked_lr with its lowest and
    highest seed, never_fired (the share of runs whose test never did), value with its interval.
    """
    rows = picked.select("family", "schedule").unique(maintain_order=True).rows()
    sizes = picked["batch_size"].unique().sort().to_list()
    figure, axes = panels(
        len(rows), 2, width=9.4, height=2.5 * len(rows) + 1.2, sharex=True, sharey="col"
    )
    highest = np.sort(picked["peak_lr"].unique().to_numpy())
    for left, right, (family, name) in zip(axes[::2], axes[1::2], rows, strict=True):
        left.plot(highest, highest, color=MUTED, linestyle=":", linewidth=1.2, zorder=1.5)
        for place, size in enumerate(sizes):
            look = _shade(looks[name], place, len(sizes))
            part = picked.filter(family=family, schedule=name, batch_size=size)
            for axis, column in ((left, "picked_lr"), (right, "value")):
                series(axis, part, look, x="peak_lr", y=column, bars=True)
                _hollow(axis, part.filter(pl.col("never_fired") > 0.5), look, "peak_lr", column)
        left.set_title(drawable(f"{family}: {name}"))
        left.set_ylabel("learning rate picked")
        right.set_ylabel(quantity)
        right.tick_params(labelleft=True)
    for axis in axes[-2:]:
        axis.set_xlabel("highest learning rate allowed, lr_max")
        log_scale(axis, "x", highest)
    log_scale(axes[0], "y", _all(picked, "picked_lr", "picked_lr_low", "picked_lr_high"))
    value_scale(axes[1], _all(picked, "value", "value_low"))
    look = looks[rows[0][1]]
    extra = [
        (_line(_shade(look, place, len(sizes))), f"batch size {size}")
        for place, size in enumerate(sizes)
    ]
    if (picked["never_fired"] > 0.5).any():
        extra.append((_mark(look.marker), "the test never fired in most runs"))
    extra.append((Line2D([], [], color=MUTED, linestyle=":"), "picked = lr_max"))
    legend(figure, {}, extra=extra)
    return figure


def _hollow(
    axis: Axes,
    frame: pl.DataFrame,
    look: Look,
    x: str,
    y: str,
    *,
    marker: str = "",
    dodge: float = 1.0,
) -> None:
    axis.plot(
        numbers(frame, x) * dodge,
        numbers(frame, y),
        linestyle="none",
        marker=marker or look.marker,
        markersize=11 if marker else None,
        color=look.colour,
        markerfacecolor=PAPER,
        markeredgewidth=1.4,
        zorder=3,
    )


def _batch_size_axis(axis: Axes, sizes: FloatArray) -> None:
    """Logarithmic, with a tick at every batch size that there is."""
    log_scale(axis, "x", np.concatenate([sizes / 1.15, sizes * 1.15]))
    axis.xaxis.set_major_locator(FixedLocator(np.unique(sizes).tolist()))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _handles(tuned: pl.DataFrame) -> list[tuple[Line2D, str]]:
    """What else the figure holds, besides the schedules."""
    handles = []
    if tuned["edge"].any():
        handles.append((_mark("o"), "tuned at an edge of the grid"))
    if tuned["picked_lr"].count():
        handles.append((_mark(_PICKED, 11), "untuned: picked at the largest lr_max"))
    if tuned["linear_lr"].count():
        line = Line2D([], [], color=MUTED, linestyle=":", linewidth=1.2)
        handles.append((line, "linear scaling of the baseline"))
    return handles


def _mark(marker: str, size: float = 7) -> Line2D:
    return Line2D(
        [], [], linestyle="none", color=INK, marker=marker, markersize=size,
        markerfacecolor="none", markeredgewidth=1.4,
    )  # fmt: skip


def _line(look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dash)


def _shade(look: Look, place: int, of: int) -> Look:
    """The schedule's colour, from light for the smallest of the batch sizes to dark."""
    share = place / max(of - 1, 1)
    towards, by = (PAPER, 0.55 * (1 - 2 * share)) if share < 0.5 else (INK, 0.7 * (2 * share - 1))
    mixed = (1 - by) * np.array(to_rgb(look.colour)) + by * np.array(to_rgb(towards))
    return dataclasses.replace(look, colour=to_hex(tuple(mixed)))


def _all(frame: pl.DataFrame, *names: str) -> FloatArray:
    return np.concatenate([numbers(frame, name) for name in names])
