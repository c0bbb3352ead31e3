"""Every number that a table shows is that of its frame, to the digits shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from robustlr.measures import measure
from robustlr.report.numbers import ABSENT, interval, number, percent
from robustlr.report.setting import Setting, settings_of
from robustlr.report.table import Table, merged
from robustlr.report.tables import tables
from robustlr.report.training_tables import rate_table
from robustlr.specs import ReportSpec
from tests.report.synthetic import synthetic

_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?(?:e-?\d+)?|∞)")


@pytest.fixture(scope="module")
def setting() -> Setting:
    results = synthetic(optimum_loss=0.05)
    measures = measure(results, ReportSpec(), resamples=100)
    return settings_of(results, measures, ReportSpec())[0]


@pytest.fixture(scope="module")
def shown(setting: Setting) -> dict[str, Table]:
    return {table.key: table for table in tables(setting, every=4)}


def assert_shows(cell: str, values: Sequence[float | None]) -> None:
    """The cell holds exactly these numbers, each within half a unit of its last digit."""
    if values[0] is None:
        assert cell.startswith(ABSENT)
        return
    known = [value for value in values if value is not None]
    found = _NUMBER.findall(cell)
    assert len(found) == len(known), (cell, values)
    for text, value in zip(found, known, strict=True):
        if text == "∞":
            assert value == float("inf")
            continue
        mantissa, _, exponent = text.partition("e")
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        assert abs(float(text) - value) <= 0.5 * unit * (1 + 1e-9) + 1e-12 * abs(value), cell


def triple(row: dict[str, float | None], name: str, factor: float = 1.0) -> list[float | None]:
    ends = [row[f"{name}{end}"] for end in ("", "_low", "_high")]
    return [None if end is None else factor * end for end in ends]


def test_all_tables_of_a_full_setting_are_there(shown: dict[str, Table]) -> None:
    assert set(shown) == {"tuned", "tolerance", "regret", "pairwise", "sensitivity", "speedup",
                          "exponent", "convergence"}  # fmt: skip


def test_tuned(setting: Setting, shown: dict[str, Table]) -> None:
    frame = setting.measures.tuned
    assert len(shown["tuned"].rows) == len(frame)
    for cells, row in zip(shown["tuned"].rows, frame.iter_rows(named=True), strict=True):
        assert cells[0] == row["schedule"]
        assert_shows(cells[1], triple(row, "peak_lr"))
        assert_shows(cells[2], triple(row, "value"))
        assert_shows(cells[3], triple(row, "excess_over_best"))
        assert_shows(cells[4], triple(row, "test_metric"))
        assert_shows(cells[5], [100 * row["divergence_rate"]])
        assert_shows(cells[6], [row["seeds"]])


def test_tolerance(setting: Setting, shown: dict[str, Table]) -> None:
    frame = setting.measures.tolerance
    for cells, row in zip(shown["tolerance"].rows, frame.iter_rows(named=True), strict=True):
        assert_shows(cells[2], triple(row, "resolution"))
        assert_shows(cells[3], [row["loses_at_most"]])
        assert_shows(cells[4], triple(row, "runs"))
        assert_shows(cells[5], triple(row, "runs_saved"))
        assert_shows(cells[6], triple(row, "basin_decades"))


def test_regret(setting: Setting, shown: dict[str, Table]) -> None:
    frame = setting.measures.regret
    by_place = {(r["schedule"], number(r["resolution"])): r for r in frame.iter_rows(named=True)}
    for cells in shown["regret"].rows:
        row = by_place[cells[0], cells[1].rstrip("×")]
        assert_shows(cells[2], [row["runs"]])
        assert_shows(cells[3], triple(row, "regret_mean"))
        assert_shows(cells[4], triple(row, "regret_worst"))
        assert_shows(cells[5], triple(row, "regret_worst_share", 100))
        assert_shows(cells[6], [100 * row["winner_share"]])
        assert ("lowest" in cells[6]) == row["winner"]


def test_pairs(setting: Setting, shown: dict[str, Table]) -> None:
    assert shown["pairwise"].rows
    for cells in shown["pairwise"].rows:
        every = 1 if cells[1] == "1.78×" else 4
        row = setting.against_baseline(cells[0], every)
        assert row is not None
        assert_shows(cells[2], triple(dict(row), "difference"))
        assert_shows(cells[3], triple(dict(row), "probability", 100))
        assert_shows(cells[5], [row["p_value"]])


def test_sensitivity(setting: Setting, shown: dict[str, Table]) -> None:
    frame = setting.measures.sensitivity
    for cells, row in zip(shown["sensitivity"].rows, frame.iter_rows(named=True), strict=True):
        assert cells[1] == row["window"]
        assert_shows(cells[3], triple(row, "sensitivity"))
        assert_shows(cells[4], triple(row, "excess_over_best"))


def test_speedup(setting: Setting, shown: dict[str, Table]) -> None:
    tuned = [row for row in setting.measures.speedup.iter_rows(named=True) if row["shift"] == 0]
    for cells, row in zip(shown["speedup"].rows, tuned, strict=True):
        for place, unit in enumerate(("updates", "cost", "seconds")):
            assert_shows(cells[2 + place], triple(row, unit))
            assert_shows(cells[5 + place], triple(row, f"speedup_{unit}"))


def test_exponents(setting: Setting, shown: dict[str, Table]) -> None:
    frame = setting.measures.exponent
    for cells, row in zip(shown["exponent"].rows, frame.iter_rows(named=True), strict=True):
        assert_shows(cells[4], triple(row, "exponent"))
    predicted = {cells[0]: cells[6] for cells in shown["exponent"].rows}
    assert predicted["linear"] == "0.333"
    assert predicted["polynomial:degree=2"] == predicted["cosine"] == "0.2"


def test_latex_spells_every_sign_of_the_tables(setting: Setting, shown: dict[str, Table]) -> None:
    for table in (*shown.values(), rate_table(setting)):
        assert table.latex().isascii(), table.key


def test_merged_puts_the_setting_in_front() -> None:
    table = Table(key="k", title="t", explanation="e.", columns=("a", "b"), rows=(("x", "1"),))
    both = merged([("one", table), ("two", table)])
    assert both.columns == ("setting", "a", "b")
    assert both.rows == (("one", "x", "1"), ("two", "x", "1"))
    assert merged([("one", table)]) is table


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1e-9, 1e-10, 2e-9), "1e-9 [1e-10, 2e-9]"),
        ((-0.5, -0.6, -0.4), "-0.50 [-0.60, -0.40]"),
        ((float("nan"), 0.0, 1.0), ABSENT),
        ((float("inf"), 3.0, float("inf")), "∞"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
        ((1234567.0, 1.0, 2e6), "1.23e6 [1, 2e6]"),
        ((-0.0004, -0.01, 0.2), "0.00 [-0.01, 0.20]"),
    ],
)
def test_intervals(values: tuple[float, float, float], expected: str) -> None:
    assert interval(*values) == expected


def test_shares_are_not_rounded_to_certainty() -> None:
    assert percent(0.9995) != "100 %"
    assert percent(1.0) == "100 %"
