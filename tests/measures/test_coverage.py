"""Nominal 95 % intervals hold the truth between 92 % and 98 % of the time at ten seeds."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.measures.coverage import coverage, pooled, true_values
from tests.measures.truths import TRUTHS, Truth

COMMITTED = Path(__file__).parents[2] / "reports" / "coverage" / "coverage.csv"
NAMES = [truth.name for truth in TRUTHS]


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS, ids=NAMES)
def test_simulated_coverage(truth: Truth) -> None:
    """A short simulation: the mean over the variants of each kind of measure."""
    table = pooled(coverage(truth, studies=120, resamples=600))
    assert table["kind"].to_list() == ["regret", "sensitivity", "speedup"]
    for row in table.iter_rows(named=True):
        assert 0.92 <= row["mean"] <= 0.98, row


def test_the_committed_table_holds_what_the_report_promises() -> None:
    table = pl.read_csv(COMMITTED)
    default = table.filter(pl.col("truth").is_in(NAMES) & (pl.col("interval") == "percentile"))
    assert default["truth"].unique(maintain_order=True).to_list() == NAMES
    assert default["coverage"].min() >= 0.92
    for row in pooled(default).iter_rows(named=True):
        assert 0.92 <= row["mean"] <= 0.98, row


@pytest.mark.parametrize("truth", TRUTHS, ids=NAMES)
def test_the_committed_truths_are_those_of_the_model(truth: Truth) -> None:
    table = pl.read_csv(COMMITTED).filter(pl.col("truth") == truth.name)
    expected = true_values(truth)
    for row in table.iter_rows(named=True):
        assert row["true"] == pytest.approx(expected[row["measure"], row["schedule"]], abs=1e-3)
