"""What adaptive schedules saw, and what they made of it."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from robustlr.figures.axes import log_scale, numbers, signed_log_scale, value_scale
from robustlr.figures.style import DANGER, INK, MUTED, Looks, drawable, legend, panels, styled


@styled
def curvature_trace(trace: pl.DataFrame, name: str, looks: Looks) -> Figure:
    """A curvature-adaptive run: its learning rate above, the trace of the Hessian below.

    trace: one run's curve with curvature_smoothed, curvature_clamped, and curvature_trace in the
    rows that tell of a new estimate.
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
    below.set_ylabel("estimated trace")
    below.set_xlabel("updates")
    extra = [
        (Line2D([], [], color=MUTED, marker=".", linestyle="none"), "estimates, as logged"),
        (Line2D([], [], color=look.colour), "smoothed"),
    ]
    if clamped.any():
        extra.append((Patch(color=DANGER, alpha=0.15), "average negative: clamped to 0"))  # type: ignore[arg-type]
    legend(figure, {}, extra=extra)
    return figure


@styled
def warmup_trace(
    trace: pl.DataFrame, name: str, looks: Looks, *, switch_step: int | None
) -> Figure:
    """A run with an automated warmup: its learning rate, its losses, and the test that ended it.

    trace: one run's curve with warmup_probability, and fit, fit_low, fit_high: a Gaussian process
    through the logged losses of the warmup. switch_step: when it ended; None if it never did.
    """
    figure, (top, middle, below) = panels(
        3, 1, width=7.6, height=6.8, sharex=True, height_ratios=(3, 4, 2)
    )
    look = looks[name]
    part = trace.sort("step")
    top.plot(part["step"], numbers(part, "lr"), color=look.colour)
    log_scale(top, "y", numbers(part, "lr"))
    top.set_ylabel("learning rate")
    top.set_title(drawable(name))
    middle.plot(
        part["step"], numbers(part, "train_loss"), linestyle="none", marker=".", color=MUTED
    )
    fitted = part.drop_nulls("fit")
    middle.plot(fitted["step"], fitted["fit"], color=look.colour)
    middle.fill_between(
        fitted["step"], numbers(fitted, "fit_low"), numbers(fitted, "fit_high"),
        color=look.colour, alpha=0.2, linewidth=0,
    )  # fmt: skip
    value_scale(middle, numbers(part, "train_loss"))
    middle.set_ylabel("training loss")
    tested = part.drop_nulls("warmup_probability")
    below.step(tested["step"], tested["warmup_probability"], where="post", color=look.colour)
    below.set_ylim(-0.04, 1.04)
    below.set_ylabel("minimum passed")
    below.set_xlabel("updates")
    extra = [
        (Line2D([], [], color=MUTED, marker=".", linestyle="none"), "losses"),
        (Line2D([], [], color=look.colour), "Gaussian process, ± 2 standard deviations"),
    ]
    if switch_step is not None:
        for axis in (top, middle, below):
            axis.axvline(switch_step, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        extra.append((Line2D([], [], color=INK, linestyle=(0, (4, 3))), "warmup ends"))
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
        signed_log_scale(
            axis, linear=float(np.median(sizes)), low=float(np.nanmin(values)), high=sizes.max()
        )


def _shade(
    axis: Axes,
    at: np.ndarray[tuple[int], np.dtype[np.float64]],
    where: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    """Shade the updates up to each row where `where` holds, from the row before it on."""
    edges = np.flatnonzero(np.diff(np.r_[False, where, False].astype(np.int8)))
    begins, ends = at[np.maximum(edges[::2] - 1, 0)], at[edges[1::2] - 1]
    axis.broken_barh(
        list(zip(begins, ends - begins, strict=True)), (0.0, 1.0),
        transform=axis.get_xaxis_transform(), color=DANGER, alpha=0.15, linewidth=0,
    )  # fmt: skip
