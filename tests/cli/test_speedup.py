"""`robustlr speedup`: target, hits, times and ratios, in the terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from robustlr.measures import measure
from robustlr.records import RunPaths, load_results
from robustlr.report.numbers import number
from robustlr.report.table import bracketed
from robustlr.specs import ReportSpec, StudySpec
from robustlr_cli.app import main
from tests.report.written import TABLE, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    return write_study(tmp_path_factory.mktemp("speedup"))


@pytest.fixture(scope="module")
def frame(study: RunPaths) -> pl.DataFrame:
    results = load_results(study, StudySpec.from_table(TABLE))
    return measure(results, ReportSpec(), resamples=50).speedup


def test_the_tuned_rows_are_printed(
    study: RunPaths,
    frame: pl.DataFrame,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["speedup", str(study.root), "--resamples", "50"]) == 0
    out = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80
    assert f"Target: validation loss {number(frame['target'][0])}" in out
    for row in frame.filter(shift=0).iter_rows(named=True):
        for unit in ("updates", "cost", "seconds"):
            assert bracketed(row, unit) in out
            assert bracketed(row, f"speedup_{unit}") in out


def test_json_is_the_frame(
    study: RunPaths, frame: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["speedup", str(study.root), "--json", "--resamples", "50"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["speedup"]) == frame.height
    for row, expected in zip(told["speedup"], frame.iter_rows(named=True), strict=True):
        assert row["schedule"] == expected["schedule"]
        assert row["hit_rate"] == expected["hit_rate"]
        missed = expected["updates"] == float("inf")
        assert row["updates"] == (None if missed else expected["updates"])


def test_results_without_curves_have_no_target_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_study(tmp_path)
    for path in paths.cells.glob("*.parquet"):
        metadata = pl.read_parquet_metadata(path)
        record = {"robustlr.record": metadata["robustlr.record"]}
        pl.read_parquet(path).clear().write_parquet(path, metadata=record)
    assert main(["speedup", str(tmp_path), "--resamples", "0"]) == 0
    assert "There is no target" in capsys.readouterr().out
