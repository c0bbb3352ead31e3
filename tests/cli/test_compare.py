"""`robustlr compare`: every number is the frame's, and it fits 80 columns."""

from __future__ import annotations

import json

import pytest

from robustlr.measures import measure
from robustlr.records import RunPaths, load_results
from robustlr.report.table import bracketed
from robustlr.specs import ReportSpec, StudySpec
from robustlr_cli.app import main
from tests.report.written import TABLE, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    return write_study(tmp_path_factory.mktemp("compare"))


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(list(command)) == 0
    return capsys.readouterr().out


def test_it_fits_80_columns(
    study: RunPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = printed(capsys, "compare", str(study.root), "--resamples", "50")
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 80
    assert "cosine on a " in out


def test_the_numbers_are_the_measures(
    study: RunPaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    out = printed(capsys, "compare", str(study.root), "--resamples", "50")
    results = load_results(study, StudySpec.from_table(TABLE))
    measures = measure(results, ReportSpec(), resamples=50)
    for row in measures.regret.filter(every=2).iter_rows(named=True):
        assert bracketed(row, "regret_mean") in out
        assert bracketed(row, "regret_worst") in out
    for row in measures.tolerance.iter_rows(named=True):
        assert bracketed(row, "runs") in out


def test_json_holds_every_resolution_and_pair(
    study: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    (setting,) = json.loads(
        printed(capsys, "compare", str(study.root), "--json", "--resamples", "50")
    )
    assert {row["every"] for row in setting["regret"]} == set(range(1, 10))
    assert {row["schedule"] for row in setting["tolerance"]} == {"fixed", "cosine"}
    assert all(0 <= row["probability"] <= 1 for row in setting["pairwise"])
    assert setting["winner"] in ("fixed", "cosine")
    assert setting["answer"]


def test_a_larger_epsilon_tolerates_coarser_grids(
    study: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolutions(epsilon: str) -> list[float]:
        options = ["--json", "--resamples", "0", "--epsilon", epsilon]
        (setting,) = json.loads(printed(capsys, "compare", str(study.root), *options))
        return [row["resolution"] for row in setting["tolerance"] if row["reference"] == "own"]

    fine, coarse = resolutions("0.001"), resolutions("0.3")
    assert all(a <= b for a, b in zip(fine, coarse, strict=True))
    assert sum(fine) < sum(coarse)


def test_cross_fitting_and_the_metric_are_other_numbers(
    study: RunPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["compare", str(study.root), "--json", "--resamples", "20"]
    plain = printed(capsys, *base)
    assert printed(capsys, *base, "--cross-fit") != plain
    (on_metric,) = json.loads(printed(capsys, *base, "--on", "metric"))
    assert on_metric["quantity"] == "test error"


@pytest.mark.parametrize("epsilon", ["0", "1", "-1", "nan"])
def test_a_bad_epsilon_is_one_line(
    study: RunPaths, epsilon: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(study.root), "--epsilon", epsilon]) == 1
    assert "epsilon must be in (0, 1)" in capsys.readouterr().err
