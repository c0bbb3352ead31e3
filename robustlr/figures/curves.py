"""Training as it went: loss curves at the tuned learning rate, and traces of adaptive schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from robustlr.figures.axes import log_scale, numbers, value_scale
from robustlr.figures.style import DANGER, INK, MUTED, Looks, drawable, legend, panels, styled


@styled
def loss_curves(curves: pl.DataFrame, looks: Looks, *, target: float | None) -> Figure:
    """Validation loss (median and quartiles over seeds) and learning rate against updates.

    curves: columns schedule, step, loss, loss_low, loss_high, lr; runs at the tuned learning rate.
    target: the loss that counts as reached, drawn as a line.
    """
    figure, (left, right) = panels(1, 2, width=9.4, height=4.2, sharex=True)
    shown = {name: look for name, look in looks.items() if name in set(curves["schedule"])}
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


@styled
def curvature_trace(trace: pl.DataFrame, name: str, looks: Looks) -> Figure:
    """A curvature-adaptive run: its learning rate above, the trace of the Hessian below.

    trace: one run's curve with curvature_trace, curvature_smoothed, curvature_clamped.
    """
    figure, (top, below) = panels(2, 1, width=7.6, height=5.4, sharex=True)
    look = looks[name]
    part = trace.sort("step")
    top.plot(part["step"], numbers(part, "lr"), color=look.colour)
    top.set_ylabel("learning rate")
    top.set_title(drawable(name))
    raw = part.drop_nulls("curvature_trace")
    below.plot(
        raw["step"], raw["curvature_trace"], linestyle="none", marker=".", color=MUTED, alpha=0.7
    )
    smooth = part.drop_nulls("curvature_smoothed")
    below.plot(smooth["step"], smooth["curvature_smoothed"], color=look.colour)
    below.axhline(0.0, color=INK, linewidth=0.8)
    _signed_scale(below, numbers(raw, "curvature_trace"))
    clamped = numbers(part, "curvature_clamped") > 0
    _shade(below, numbers(part, "step"), clamped)
    below.set_ylabel("trace of the Hessian")
    below.set_xlabel("updates")
    extra = [
        (Line2D([], [], color=MUTED, marker=".", linestyle="none"), "estimates"),
        (Line2D([], [], color=look.colour), "smoothed"),
    ]
    if clamped.any():
        extra.append((Patch(color=DANGER, alpha=0.15), "average negative: clamped to 0"))  # type: ignore[arg-type]
    legend(figure, {}, extra=extra)
    return figure


def _signed_scale(axis: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """Traces span decades and both signs."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(sizes):
        return
    if (values[np.isfinite(values)] > 0).all():
        if sizes.max() / sizes.min() > 20:
            log_scale(axis, "y", sizes)
    elif sizes.max() / np.median(sizes) > 20:
        axis.set_yscale("symlog", linthresh=float(np.median(sizes)))


def _shade(
    axis: Axes,
    at: np.ndarray[tuple[int], np.dtype[np.float64]],
    where: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    axis.fill_between(
        at, 0, 1, where=where, transform=axis.get_xaxis_transform(), color=DANGER, alpha=0.15,
        linewidth=0, step="post",
    )  # fmt: skip
