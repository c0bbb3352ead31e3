"""How figures look: one colour, marker and dash per schedule, the same in every figure.

Colours are told apart with the common colour-vision deficiencies and hold on white and on black;
markers and dashes carry the same information without any colour. Figures are made through the
object-oriented interface under fixed settings: neither the user's matplotlibrc nor pyplot's
global state takes part, and the same frame gives the same bytes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D

P = ParamSpec("P")
R = TypeVar("R")

INK, MUTED, GRID, PAPER = "#1f2430", "#6b7280", "#d9dce3", "#ffffff"
DANGER = "#c81e4a"
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc6fa5",
    "#d99a00",
    "#4aa5de",
    "#7b55c7",
    "#8c564b",
    "#7a8699",
    "#9a9a00",
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_LONGEST_LABEL = 44
_FONT = "DejaVu Sans"  # ships with matplotlib
_KEPT = ("backend", "backend_fallback", "interactive", "toolbar", "timezone")


@dataclass(frozen=True, slots=True)
class Look:
    """How one schedule is drawn. order: its place in the study."""

    order: int
    colour: str
    marker: str
    dash: Any


Looks = dict[str, Look]


def looks(schedules: Sequence[str]) -> Looks:
    """The look of every schedule; 40 schedules differ in more than one way.

    >>> [(look.colour, look.marker) for look in looks(["fixed", "cosine"]).values()]
    [('#0072b2', 'o'), ('#d55e00', 's')]
    """
    return {
        name: Look(
            order=position,
            colour=_COLOURS[position % len(_COLOURS)],
            marker=_MARKERS[(position + position // len(_COLOURS)) % len(_MARKERS)],
            dash=_DASHES[(position + position // len(_COLOURS)) % len(_DASHES)],
        )
        for position, name in enumerate(schedules)
    }


@functools.cache
def _settings() -> Any:
    import seaborn as sns  # a second to import: here, where something is drawn

    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if k not in _KEPT}
    return {
        **defaults,
        **sns.plotting_context("notebook", font_scale=0.85),
        **sns.axes_style("whitegrid"),
        "font.family": [_FONT],
        "mathtext.fontset": "dejavusans",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.bottom": True,
        "xtick.major.size": 3.5,
        "xtick.minor.size": 2.0,
        "xtick.major.width": 0.8,
        "legend.frameon": False,
        "legend.handlelength": 3.2,
        "lines.linewidth": 1.7,
        "lines.markersize": 5.5,
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
        "svg.fonttype": "path",
        "svg.hashsalt": "robustlr",
        "savefig.dpi": 150,
    }


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` under the settings of all our figures."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_settings()):
            return function(*args, **kwargs)

    return wrapped


def panels(
    rows: int = 1, columns: int = 1, *, width: float, height: float, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of width × height inches that no global list knows, and its axes in order."""
    import seaborn as sns

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axis in axes:
        sns.despine(ax=axis, left=True)
        axis.tick_params(axis="y", which="both", length=0)
    return figure, axes


def legend(figure: Figure, shown: Looks, *, extra: Sequence[tuple[Any, str]] = ()) -> None:
    """One legend under the panels: the schedules, then (handle, label) of anything else."""
    entries = [
        (
            Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dash),
            drawable(name),
        )
        for name, look in shown.items()
    ]
    entries += list(extra)
    longest = max((len(label) for _, label in entries), default=1)
    columns = max(1, min(len(entries), int(figure.get_figwidth() * 13 / (longest + 9))))
    figure.legend(
        [handle for handle, _ in entries],
        [label for _, label in entries],
        loc="outside lower center",
        ncols=columns,
    )


@functools.cache
def _font() -> FT2Font:
    return font_manager.get_font(font_manager.findfont(_FONT))


def drawable(label: str) -> str:
    """A name as matplotlib draws it: no mathtext, no hidden labels, no missing glyphs.

    >>> drawable("_a$b")
    ' _a\\\\$b'
    """
    line = " ".join(label.split())
    if len(line) > _LONGEST_LABEL:
        half = _LONGEST_LABEL // 2
        line = f"{line[:half]}…{line[-half:]}"
    line = "".join(c if _font().get_char_index(ord(c)) else "□" for c in line)
    return (" " if line.startswith("_") else "") + line.replace("$", r"\$")


def wrapped(label: str, most: int) -> str:
    """A drawable schedule's label on lines of some `most` characters, broken between its parts.

    >>> wrapped("curvature_adaptive:anneal=cosine+warmup", 30).splitlines()
    ['curvature_adaptive:', 'anneal=cosine+warmup']
    """
    lines = [""]
    for part in re.split(r"(?<=[:,])|(?=\+)", label):
        if lines[-1] and len(lines[-1]) + len(part) > most:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
