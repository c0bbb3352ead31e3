"""How soon a target is reached, and how that holds over many settings."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from robustlr.figures.axes import (
    RHO,
    crowded,
    numbers,
    present,
    ratio_axis,
    reference_line,
    series,
)
from robustlr.figures.dots import schedule_axis
from robustlr.figures.style import Looks, drawable, legend, panels, styled


@styled
def speedup_against_misspecification(
    speedup: pl.DataFrame, looks: Looks, *, baseline: str, unit: str = "updates"
) -> Figure:
    """Time to target of the tuned baseline over this schedule's at ρ, and the share that hits it.

    speedup: SPEEDUP_SCHEMA, one setting. unit: updates, cost or seconds.
    """
    figure, (left, right) = panels(1, 2, width=9.4, height=4.4)
    column = f"speedup_{unit}"
    shown = present(speedup, looks)
    for name, look in shown.items():
        part = speedup.filter(pl.col("schedule") == name).sort("rho")
        hits = part.filter(pl.col(column) > 0)
        series(left, hits, look, x="rho", y=column, bars=crowded(shown))
        right.plot(
            part["rho"], part["hit_rate"], color=look.colour, marker=look.marker,
            linestyle=look.dash,
        )  # fmt: skip
    positive = speedup.filter(pl.col(column) > 0)
    heights = [numbers(positive, f"{column}{end}") for end in ("", "_low", "_high")]
    for axis, part in ((left, positive), (right, speedup)):
        ratio_axis(axis, "x", np.append(numbers(part, "rho"), 1.0), RHO)
        reference_line(axis, x=1.0)
    ratio_axis(left, "y", np.append(np.concatenate(heights), 1.0), f"speedup in {unit}")
    reference_line(left, y=1.0)
    left.set_title(f"speedup over tuned {drawable(baseline)}")
    right.set_title("runs that reach the target")
    right.set_ylim(-0.04, 1.04)
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    legend(figure, shown)
    return figure


@styled
def performance_profile(profile: pl.DataFrame, score: pl.DataFrame, looks: Looks) -> Figure:
    """Share of settings within a factor τ of the fastest schedule, and the score from it.

    profile: PROFILE_SCHEMA and score: SCORE_SCHEMA, one unit.
    """
    shown = present(profile, looks)
    figure, (left, right) = panels(1, 2, width=9.4, height=4.2, width_ratios=(3, 2))
    for name, look in shown.items():
        part = profile.filter(pl.col("schedule") == name).sort("tau")
        left.step(
            part["tau"], part["fraction"], where="post", color=look.colour, linestyle=look.dash,
            marker=look.marker, markevery=max(1, len(part) // 6),
        )  # fmt: skip
    ratio_axis(left, "x", numbers(profile, "tau"), "τ: time to target over that of the fastest")
    left.set_ylabel("share of settings")
    left.set_ylim(-0.04, 1.04)
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    schedule_axis(right, list(shown))
    right.set_yticklabels([])
    for position, (name, look) in enumerate(shown.items()):
        row = score.filter(pl.col("schedule") == name)
        value, low, high = (numbers(row, f"score{end}") for end in ("", "_low", "_high"))
        right.hlines([position] * len(row), low, high, color=look.colour, linewidth=2)
        right.plot(value, [position] * len(row), color=look.colour, marker=look.marker, ms=8)
    right.set_xlim(-0.03, 1.03)
    right.set_xlabel("score (1 is best)")
    legend(figure, shown)
    return figure
