"""`robustlr report build` and `import`, as their user meets them."""

from __future__ import annotations

import json
import shlex
import warnings
from pathlib import Path

import polars as pl
import pytest

from robustlr_cli.app import main
from tests.report.written import write_study

TABLE = "schedule,lr,seed,value\n" + "".join(
    f"{name},{10.0**k:g},{seed},{0.1 + width * (k + 2) ** 2 + 0.001 * seed}\n"
    for name, width in (("constant", 0.5), ("cosine", 0.02))
    for k in range(-4, 1)
    for seed in range(6)
)


def test_build_prints_the_page_and_writes_beside_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "runs" / "tiny", leave_out=2)
    assert main(["report", "build", "tiny", "--resamples", "20"]) == 0
    assert capsys.readouterr().out.strip() == "runs/tiny/report/report.html"
    folder = tmp_path / "runs" / "tiny" / "report"
    text = (folder / "report.md").read_text()
    assert text.startswith("# tiny\n\nWhich one?\n")
    assert "2 cells of the study have not been run yet" in text
    assert "a CPU" in text
    made = json.loads((folder / "provenance.json").read_text())
    assert made["runs_made_with"] == [{"device": "a CPU", "git_commit": "abc123", "runs": 106}]
    assert made["command"] == "robustlr report build tiny --on loss --resamples 20"
    assert made["runs"]["missing"] == 2


def test_damaged_results_are_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_study(tmp_path / "my study")
    said = "2 damaged results are left out"
    for path in sorted(paths.cells.iterdir())[:2]:
        path.write_bytes(path.read_bytes()[:100])
    for command in (["report", "build"], ["compare"], ["speedup"]):
        assert main([*command, str(paths.root), "--resamples", "20"]) == 0
        assert (
            f"{said}; `robustlr study run '{paths.root}'` mends that\n" in capsys.readouterr().err
        )
    text = (paths.report / "report.md").read_text()
    assert f"{said}; 'robustlr study run' mends that." in text
    assert "0 failed, 0 missing, 2 damaged" in text
    made = json.loads((paths.report / "provenance.json").read_text())
    assert made["runs_made_with"][0]["runs"] == 106


def test_build_on_the_metric_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_study(tmp_path / "study")
    out = tmp_path / "elsewhere"
    command = ["report", "build", str(paths.root), "--out", str(out), "--on", "metric"]
    assert main([*command, "--resamples", "20"]) == 0
    assert "of test error, wherever the grid falls" in (out / "report.md").read_text()


def test_import_makes_a_report_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.csv").write_text(TABLE)
    out = tmp_path / "out"
    command = ["report", "import", str(tmp_path / "results.csv"), "--out", str(out)]
    assert main([*command, "--baseline", "constant", "--resamples", "50"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(out / "report.html")
    assert "No column split" in captured.err
    text = (out / "report.md").read_text()
    assert text.startswith("# results\n")
    assert "**cosine on a " in text
    assert "constant" in text.partition("**cosine on a ")[2].partition("**")[0]
    assert "No column split" in text
    assert pl.read_parquet(out / "runs.parquet").height == 60
    made = json.loads((out / "provenance.json").read_text())
    assert shlex.split(made["command"])[:4] == ["robustlr", *command[:3]]


def test_values_at_the_end_of_what_floats_can_hold(tmp_path: Path) -> None:
    rows = [row.rpartition(",") for row in TABLE.splitlines()[1:]]
    huge = "".join(f"{run},{float(value) * 2e305}\n" for run, _, value in rows)
    (tmp_path / "huge.csv").write_text("schedule,lr,seed,value\n" + huge)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = tmp_path / "out"
        command = ["report", "import", str(tmp_path / "huge.csv"), "--out", str(out)]
        assert main([*command, "--resamples", "50"]) == 0
    deviations = pl.read_parquet(out / "tables" / "tuned.parquet")["value_std"]
    assert deviations.to_list() == pytest.approx([0.001 * 3.5**0.5 * 2e305] * 2, rel=1e-3)


BAD = {
    "missing.csv": (None, "no such file"),
    "empty.csv": ("", "is empty"),
    "words.csv": ("schedule,lr,seed,value\nfixed,fast,0,1\n", "row 1: lr must be a number"),
    "columns.csv": ("a,b\n1,2\n", "has no column schedule"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_are_one_line_and_exit_1(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = BAD[name]
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main(["report", "import", str(tmp_path / name)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baseline", "cosin"], "'cosin' is not in the table; did you mean 'cosine'?"),
        (["--epsilon", "2"], "epsilon must be in (0, 1)"),
    ],
)
def test_bad_options_are_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.csv").write_text(TABLE)
    assert main(["report", "import", str(tmp_path / "results.csv"), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_study_without_results_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "build", "digits"]) == 1
    assert "robustlr study run" in capsys.readouterr().err
