"""Figures as bytes: SVG that follows the reader's light or dark theme, and PNG. No files."""

from __future__ import annotations

import io
import re

from matplotlib.figure import Figure

from robustlr.figures.style import GRID, INK, MUTED, PAPER, styled

_DARK = {INK: "#e4e7ee", MUTED: "#9aa3b5", GRID: "#343a48", PAPER: "#14171d"}
_LONG_NUMBER = re.compile(rb"([1-9]\d*\.\d{2})\d+")


@styled
def svg(figure: Figure, *, title: str) -> bytes:
    """The figure as SVG, the same bytes for the same figure; title: for screen readers."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title, "Creator": None})
    figure.set_layout_engine("none")  # it is laid out now; the next rendering need not be
    drawing = buffer.getvalue()
    start = drawing.index(b"<svg")  # what precedes it names matplotlib and a DTD on the network
    drawing = _rounded(drawing[start:])
    end = drawing.index(b">") + 1
    return drawing[:end] + f"\n <style>{_dark_theme()}</style>".encode() + drawing[end:]


@styled
def png(figure: Figure) -> bytes:
    """The figure as PNG at 150 dots per inch, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _dark_theme() -> str:
    """Ink, grid and paper swapped where the reader prefers dark; the schedules' colours stay."""
    rules = [
        f'[style*="{attribute}: {light}"]{{{attribute}:{dark} !important}}'
        for light, dark in _DARK.items()
        for attribute in ("fill", "stroke")
    ]
    return "@media (prefers-color-scheme: dark){" + "".join(rules) + "}"


def _rounded(drawing: bytes) -> bytes:
    """Hundredths of a point are enough for coordinates; numbers below one are glyphs' scales."""
    return _LONG_NUMBER.sub(rb"\1", drawing)
