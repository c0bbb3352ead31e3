"""robustlr schedule tabulate: what it prints can be trained with."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import polars as pl
import pytest

from robustlr.records import CURVE_SCHEMA, write_result
from robustlr.schedules import parse
from robustlr_cli.app import main
from tests.small_study import record_of, small_spec


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A run of 20 updates whose learning rate fell in a line from its peak to 0.1 of it."""
    cell = next(small_spec().cells())
    lr = [cell.peak_lr * (1.0 - 0.9 * t / 19) for t in range(20)]
    path = tmp_path / "cell.parquet"
    rows = pl.DataFrame({"step": list(range(1, 21)), "lr": lr})
    empty = pl.DataFrame(schema=CURVE_SCHEMA)
    write_result(path, record_of(cell), pl.concat([empty, rows], how="diagonal"))
    return path


def test_the_curve_comes_back_as_toml(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "tabulate", str(result), "--name", "again"]) == 0
    (table,) = tomllib.loads(capsys.readouterr().out)["schedule"]
    schedule = parse(table)
    assert schedule.label == "again"
    applied = schedule.multiplier(range(20), 20)  # type: ignore[attr-defined]
    assert applied == pytest.approx([1.0 - 0.9 * t / 19 for t in range(20)], abs=1e-5)


def test_the_mean(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "tabulate", str(result), "--mean", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    low, high = table["multipliers"]
    assert low == high == pytest.approx(0.55, abs=0.03)


@pytest.mark.parametrize("name", ["cell.parquet", "study.toml"])
def test_what_is_no_result_is_one_line_that_removes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"PAR1")
    assert main(["schedule", "tabulate", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert f"{name}: is damaged or no result file (runs/NAME/cells/KEY.parquet)" in said
    assert "remove" not in said
    assert said.count("\n") == 1
