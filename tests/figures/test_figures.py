"""Every figure draws what its frame holds, also where the frame holds little."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from robustlr import figures
from robustlr.measures import Measures, measure
from robustlr.report.predictions import predictions
from robustlr.specs import ReportSpec
from tests.report.synthetic import VALLEYS, Valley, synthetic

MANY = {f"schedule {i}": Valley(optimum=-1.5 + 0.1 * i, floor=0.1 + 0.01 * i) for i in range(10)}
NAMES = {"$x$ <b>": Valley(), "_hidden": Valley(floor=0.2), "日本語 🎉": Valley(floor=0.3)}
CASES: dict[str, dict[str, Any]] = {
    "ten schedules": {"valleys": MANY, "seeds": 2},
    "names": {"valleys": NAMES, "seeds": 2},
    "one seed": {"seeds": 1},
    "one learning rate": {"indices": [-4]},
    "two learning rates": {"indices": [-4, -3]},
    "one schedule": {"valleys": {"fixed": VALLEYS["fixed"]}},
    "all diverged": {"valleys": {"fixed": Valley(cliff=-9), "cosine": Valley(cliff=-9)}},
    "negative losses": {"shift": -5.0},
    "losses around zero": {"shift": -0.5},
    "constant": {"valleys": {"fixed": Valley(slope=0, right=0, cliff=9)}, "noise": 0.0},
    "known optimum": {"optimum_loss": 0.05},
}


def measured(**options: Any) -> Measures:
    results = synthetic(**{"indices": range(-12, 5, 2), **options})
    return measure(results, ReportSpec(), resamples=20)


TWO = {name: VALLEYS[name] for name in ("fixed", "cosine")}


def drawings(m: Measures) -> dict[str, Callable[[], Figure]]:
    looks = figures.looks(m.tuned["schedule"].to_list())
    predicted = predictions(looks, rho=(0.1, 10.0), fitted=(10.0, 100.0))
    curve = pl.DataFrame({"step": [0, 1, 2], "lr": [None, 0.1, 0.05],
        "curvature_trace": [None, -3.0, 40.0], "curvature_smoothed": [None, -3.0, 9.0],
        "curvature_clamped": [None, 1.0, 0.0]})  # fmt: skip
    name = next(iter(looks))
    horizon = pl.DataFrame({"schedule": [name] * 2, "num_steps": [100, 400], "value": [0.2, 0.1],
        "value_low": [0.1, None], "value_high": [0.3, None]})  # fmt: skip
    return {
        "lr": lambda: figures.value_against_learning_rate(m.per_lr, looks, quantity="q"),
        "spread": lambda: figures.seed_spread(m.per_lr, looks, quantity="q"),
        "mis": lambda: figures.misspecification_curves(m.misspecification, looks, quantity="q"),
        "theory": lambda: figures.misspecification_against_theory(
            m.misspecification, predicted.curves, looks
        ),
        "exponents": lambda: figures.exponents(m.exponent, predicted.exponents, looks),
        "horizon": lambda: figures.value_against_horizon(horizon, looks, quantity="q"),
        "regret": lambda: figures.regret_against_resolution(m.regret, looks, epsilon=0.01),
        "grids": lambda: figures.tolerated_grids(m.tolerance, looks, baseline="fixed"),
        "sensitivity": lambda: figures.sensitivities(m.sensitivity, looks, quantity="q"),
        "speedup": lambda: figures.speedup_against_misspecification(
            m.speedup, looks, baseline="fixed"
        ),
        "profile": lambda: figures.performance_profile(
            m.profile.filter(pl.col("unit") == "updates"),
            m.score.filter(pl.col("unit") == "updates"),
            looks,
        ),
        "curvature": lambda: figures.curvature_trace(curve, name, looks),
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_figure_draws_in_every_case(case: str) -> None:
    for name, draw in drawings(measured(**{"valleys": TWO, **CASES[case]})).items():
        figure = draw()
        figure.draw_without_rendering()
        for axis in figure.axes:
            low, high = sorted(axis.get_ylim())
            assert np.isfinite([low, high]).all(), name
            assert low < high, name
    assert plt.get_fignums() == []


@pytest.fixture(scope="module")
def full() -> Measures:
    return measured()


def test_lines_are_the_frame(full: Measures) -> None:
    looks = figures.looks(full.tuned["schedule"].to_list())
    figure = figures.value_against_learning_rate(full.per_lr, looks, quantity="test loss")
    axis = figure.axes[0]
    assert axis.get_xlabel() == "peak learning rate"
    assert "test loss" in axis.get_ylabel()
    assert axis.get_xscale() == axis.get_yscale() == "log"
    for name, look in looks.items():
        part = full.per_lr.filter(pl.col("schedule") == name).sort("peak_lr")
        (line,) = [
            line
            for line in axis.lines
            if line.get_color() == look.colour and line.get_linestyle() != "None"
        ]
        assert np.array_equal(line.get_xdata(), part["peak_lr"].to_numpy())
        assert np.array_equal(line.get_ydata(), part["value"].to_numpy())


def test_a_curvature_trace_shows_estimates_their_average_the_clamp_and_the_lr() -> None:
    curve = pl.DataFrame({"step": [0, 1, 2, 3, 4], "lr": [None, 0.1, 0.1, 0.05, 0.04],
        "curvature_trace": [None, -3.0, -3.0, 40.0, 30.0],
        "curvature_smoothed": [None, -3.0, -1.0, 9.0, -2.0],
        "curvature_clamped": [None, 1.0, 1.0, 0.0, 1.0]})  # fmt: skip
    looks = figures.looks(["curvature_adaptive"])
    figure = figures.curvature_trace(curve, "curvature_adaptive", looks)
    top, below = figure.axes
    assert top.get_ylabel() == "learning rate"
    assert list(top.lines[0].get_xdata()) == [0, 1, 2, 3, 4]
    assert list(top.lines[0].get_ydata())[1:] == [0.1, 0.1, 0.05, 0.04]
    raw, smoothed = below.lines[:2]
    assert raw.get_linestyle() == "None"
    assert list(raw.get_ydata()) == [-3.0, -3.0, 40.0, 30.0]
    assert list(smoothed.get_ydata()) == [-3.0, -1.0, 9.0, -2.0]
    (bands,) = below.collections
    shaded = [path.vertices[:, 0] for path in bands.get_paths()]
    # a row tells of the updates up to its own; one row alone is seen too
    assert [(x.min(), x.max()) for x in shaded] == [(0, 2), (3, 4)]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["estimates, as logged", "smoothed", "average negative: clamped to 0"]


def test_intervals_are_drawn(full: Measures) -> None:
    two = full.per_lr.filter(pl.col("schedule").is_in(["fixed", "cosine"]))
    looks = figures.looks(["fixed", "cosine"])
    bands = figures.value_against_learning_rate(two, looks, quantity="q").axes[0].collections
    for name, band in zip(looks, bands, strict=True):
        part = two.filter(pl.col("schedule") == name)
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == part["value_low"].min()
        assert heights.max() == part["value_high"].max()


def test_a_schedule_looks_the_same_in_every_figure(full: Measures) -> None:
    looks = figures.looks(full.tuned["schedule"].to_list())
    drawn = [draw() for name, draw in drawings(full).items() if name in ("lr", "mis", "regret")]
    for figure in drawn:
        (legend,) = figure.legends
        shown = {
            text.get_text(): line.get_color()
            for text, line in zip(legend.get_texts(), legend.get_lines(), strict=False)
        }
        for name, look in looks.items():
            assert shown[name] == look.colour


def test_forty_schedules_are_told_apart() -> None:
    looks = figures.looks([str(i) for i in range(40)]).values()
    assert len({(look.colour, look.marker, str(look.dash)) for look in looks}) == 40
    ten = list(looks)[:10]
    assert len({look.colour for look in ten}) == len({look.marker for look in ten}) == 10


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_stand_out_on_white_and_on_dark() -> None:
    for look in figures.looks([str(i) for i in range(10)]).values():
        light = 1.05 / (_luminance(look.colour) + 0.05)
        dark = (_luminance(look.colour) + 0.05) / (_luminance("#14171d") + 0.05)
        assert min(light, dark) > 2.2, look


def test_svg_is_the_same_each_time_and_follows_the_theme(full: Measures) -> None:
    draw = drawings(full)["grids"]
    first, second = (figures.svg(draw(), title="Grids & <more>") for _ in range(2))
    assert first == second
    assert first.startswith(b"<svg")
    assert b"prefers-color-scheme: dark" in first
    assert b"<title>Grids &amp; &lt;more&gt;</title>" in first
    assert figures.png(draw()).startswith(b"\x89PNG")


def test_the_users_settings_change_nothing(full: Measures) -> None:
    draw = drawings(full)["grids"]
    plain = figures.svg(draw(), title="t")
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 30, "svg.hashsalt": None}):
        assert figures.svg(draw(), title="t") == plain


def test_the_theory_is_beside_the_measured_curve() -> None:
    m = measured(valleys={"linear": VALLEYS["linear"]}, optimum_loss=0.05)
    figure = drawings(m)["theory"]()
    measured_line, theory_line = figure.axes[0].lines[:2]
    assert np.interp(1.0, theory_line.get_xdata(), theory_line.get_ydata()) == pytest.approx(
        1.0, abs=0.02
    )
    assert len(theory_line.get_xdata()) > len(measured_line.get_xdata())


def test_a_look_is_frozen() -> None:
    (look,) = figures.looks(["a"]).values()
    with pytest.raises(dataclasses.FrozenInstanceError):
        look.colour = "#000000"  # type: ignore[misc]
