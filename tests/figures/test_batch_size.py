"""The figures over batch sizes draw their frames, hollow where a point supports no claim."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from robustlr import figures
from robustlr.figures.style import PAPER

SIZES = [32, 125, 1000]
LOOKS = figures.looks(["auto", "cosine", "absent"])


def tuned(family: str = "sgd", *, edge: bool = False, linear: bool = True) -> pl.DataFrame:
    rows = []
    for name in ("auto", "cosine"):
        for place, size in enumerate(SIZES):
            lr = 0.01 * 2**place
            picks = name == "auto"
            rows.append(
                {
                    "family": family, "schedule": name, "batch_size": size,
                    "peak_lr": lr, "peak_lr_low": lr / 3, "peak_lr_high": lr * 3,
                    "edge": edge and size == 1000,
                    "value": 0.1 + 0.1 * place, "value_low": 0.09, "value_high": 0.5,
                    "linear_lr": 0.01 * size / 32 if linear else None,
                    "picked_lr": lr / 2 if picks else None,
                    "untuned_value": 0.3 if picks else None,
                }
            )  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"linear_lr": pl.Float64})


def picked(*, never: float) -> pl.DataFrame:
    rows = [
        {
            "family": "sgd", "schedule": "auto", "batch_size": size, "peak_lr": lr,
            "picked_lr": min(lr, 0.05), "picked_lr_low": 0.001, "picked_lr_high": lr,
            "never_fired": never if lr < 0.05 else 0.0,
            "value": 0.2, "value_low": 0.1, "value_high": 0.3,
        }
        for size in SIZES
        for lr in (0.01, 0.1, 1.0, 10.0, 100.0)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def hollow(axis: Axes, marker: str) -> list[Line2D]:
    return [
        line
        for line in axis.lines
        if line.get_markerfacecolor() == PAPER
        and line.get_marker() == marker
        and np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any()
    ]


def labels(figure: object) -> set[str]:
    (legend,) = figure.legends  # type: ignore[attr-defined]
    return {text.get_text() for text in legend.get_texts()}


def test_the_panels_hold_the_tuned_rates_and_the_values() -> None:
    frame = tuned()
    figure = figures.tuned_against_batch_size(frame, LOOKS, quantity="test loss")
    left, right = figure.axes
    assert left.get_xscale() == left.get_yscale() == right.get_xscale() == "log"
    assert right.get_ylabel() == "test loss"
    for axis, column in ((left, "peak_lr"), (right, "value")):
        lines = [line for line in axis.lines if line.get_linestyle() not in ("None", ":")]
        for line, name in zip(lines, ("auto", "cosine"), strict=True):
            part = frame.filter(pl.col("schedule") == name)
            assert line.get_color() == LOOKS[name].colour
            assert np.array_equal(line.get_ydata(), part[column].to_numpy())
            assert np.allclose(line.get_xdata(), part["batch_size"].to_numpy(), rtol=0.1)
    (dotted,) = [line for line in left.lines if line.get_linestyle() == ":"]
    assert np.allclose(dotted.get_ydata(), 0.01 * np.array(SIZES) / 32)
    assert [tick.get_text() for tick in right.get_xticklabels()] == ["32", "125", "1000"]


def test_edges_are_hollow_and_picks_are_stars() -> None:
    edges = figures.tuned_against_batch_size(tuned(edge=True), LOOKS, quantity="q")
    none = figures.tuned_against_batch_size(tuned(), LOOKS, quantity="q")
    for axis in edges.axes:
        for name in ("auto", "cosine"):
            (line,) = hollow(axis, LOOKS[name].marker)
            assert np.allclose(line.get_xdata(), [1000], rtol=0.1)
        (star,) = hollow(axis, "*")
        assert star.get_color() == LOOKS["auto"].colour
    assert hollow(none.axes[0], LOOKS["auto"].marker) == []
    assert "tuned at an edge of the grid" in labels(edges) - labels(none)


@pytest.mark.parametrize("linear", [True, False])
def test_one_row_per_family_and_only_what_is_known(linear: bool) -> None:
    both = pl.concat([tuned("sgd", linear=linear), tuned("AdamP", linear=linear)])
    figure = figures.tuned_against_batch_size(both, LOOKS, quantity="q")
    figure.draw_without_rendering()
    assert [axis.get_title(loc="left") for axis in figure.axes[::2]] == ["sgd", "AdamP"]
    assert ("linear scaling of the baseline" in labels(figure)) == linear


@pytest.mark.parametrize("never", [0.2, 1.0])
def test_picked_rates_over_lr_max(never: float) -> None:
    figure = figures.picked_against_highest(picked(never=never), LOOKS, quantity="test loss")
    figure.draw_without_rendering()
    left, right = figure.axes
    lines = [line for line in left.lines if line.get_linestyle() not in ("None", ":")]
    assert len(lines) == len(SIZES)
    assert len({line.get_color() for line in lines}) == len(SIZES)
    for line in lines:
        assert np.array_equal(line.get_ydata(), [0.01, 0.05, 0.05, 0.05, 0.05])
    for axis in (left, right):
        assert len(hollow(axis, LOOKS["auto"].marker)) == (len(SIZES) if never > 0.5 else 0)
    assert ("the test never fired in most runs" in labels(figure)) == (never > 0.5)
    assert {f"batch size {size}" for size in SIZES} <= labels(figure)
