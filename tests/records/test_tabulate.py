from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from robustlr.errors import DataError
from robustlr.records import write_result
from robustlr.records.tabulate import MOST_POINTS, constant, tabulate, tabulate_result
from robustlr.schedules import to_table
from robustlr.training import train
from robustlr.workloads import build_workload
from tests.training.cells import digits_cell


def test_a_replay_repeats_the_learning_rates_of_another_run(tmp_path: Path) -> None:
    cell = digits_cell("curvature_adaptive:every=3,anneal=cosine", num_steps=40, log_every=1)
    record, curve = train(cell, build_workload(cell.workload))
    write_result(tmp_path / "run.parquet", record, curve)
    again = tabulate_result(tmp_path / "run.parquet", name="replay of seed 0")
    assert again.label == "replay of seed 0"
    lrs = (cell.peak_lr * again.multiplier(range(40), 40)).tolist()
    assert lrs == pytest.approx(curve["lr"].drop_nulls().to_list(), abs=1e-6)


def test_a_long_curve_is_thinned_and_a_short_start_held() -> None:
    steps = list(range(25, 10_001, 25))
    curve = pl.DataFrame({"step": [0, *steps], "lr": [None, *[1 - s / 20_000 for s in steps]]})
    table = tabulate(curve, peak_lr=2.0, num_steps=10_000, name="x")
    assert len(table.fractions) <= MOST_POINTS + 2
    assert table.multiplier([0, 24], 10_000).tolist() == pytest.approx([0.499375, 0.499375])
    seen = table.multiplier([s - 1 for s in steps], 10_000)
    assert seen.tolist() == pytest.approx([0.5 - s / 40_000 for s in steps], abs=1e-5)


def test_a_long_curve_of_few_corners_is_exact() -> None:
    """A multiplier that is decided anew every 40 updates, as curvature_adaptive's, over 800."""
    levels = [1 / math.sqrt(1 + k % 7) for k in range(20)]
    applied = [levels[t // 40] for t in range(800)]
    curve = pl.DataFrame({"step": range(1, 801), "lr": applied})
    table = tabulate(curve, peak_lr=1.0, num_steps=800, name="x")
    assert len(table.fractions) == 2 * 20 + 1
    assert table.multiplier(range(800), 800).tolist() == pytest.approx(applied, abs=1e-6)


def test_a_long_curve_of_many_corners_is_thinned() -> None:
    applied = [0.5 + 0.4 * math.sin(t / 50) for t in range(800)]
    curve = pl.DataFrame({"step": range(1, 801), "lr": applied})
    table = tabulate(curve, peak_lr=1.0, num_steps=800, name="x")
    assert len(table.fractions) == MOST_POINTS + 1
    assert table.multiplier(range(800), 800).tolist() == pytest.approx(applied, abs=5e-3)


def test_the_mean_is_a_constant_shape() -> None:
    control = constant(0.4, name="fixed at the mean")
    assert control.multiplier([0, 7, 100], 100).tolist() == [0.4, 0.4, 0.4]
    assert to_table(control)["name"] == "fixed at the mean"


@pytest.mark.parametrize(
    "curve",
    [
        pl.DataFrame({"step": [1, 2]}),
        pl.DataFrame({"step": [0, 25], "lr": [None, 0.1]}),
        pl.DataFrame({"step": [], "lr": []}, schema={"step": pl.Int64, "lr": pl.Float64}),
    ],
)
def test_nothing_to_replay(curve: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="step and lr with at least two rows"):
        tabulate(curve, peak_lr=1.0, num_steps=50, name="x")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such result file"):
        tabulate_result(tmp_path / "none.parquet")
