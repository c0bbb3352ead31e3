"""`robustlr schedule replay` as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robustlr.schedules import schedule_types
from robustlr_cli.app import main

LOSSES = [0.1 + abs(step - 50) / 50 for step in range(150)]


def write(path: Path, losses: list[Any], header: str = "loss") -> Path:
    path.write_text("\n".join([header, *map(str, losses)]) + "\n", encoding="utf-8")
    return path


def run(*arguments: object, kind: str = "auto_warmup", num_steps: int = 200) -> int:
    command = ["schedule", "replay", "--kind", kind, "--num-steps", num_steps, *arguments]
    return main([str(argument) for argument in command])


def test_json_has_tests_switch_and_curve(tmp_path: Path, capsys: Any) -> None:
    losses = write(tmp_path / "l.csv", LOSSES)
    assert run("--losses", losses, "--test-every", 4, "--peak-lr", 0.5, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    steps = [test["step"] for test in shown["tests"]]
    assert steps[:3] == [7, 11, 15]
    assert shown["switch_step"] == steps[-1]
    assert shown["tests"][-1]["probability"] > 0.95
    assert shown["lr_after"] == shown["lr"][shown["switch_step"]]
    assert shown["lr_after"] == pytest.approx(0.5 * 1e-5**0.5, rel=0.3)
    assert len(shown["lr"]) == shown["updates"] == 150


def test_table_shows_tests_switch_and_curve(tmp_path: Path, capsys: Any) -> None:
    assert run("--losses", write(tmp_path / "l.csv", LOSSES), "--rows", 5) == 0
    shown = capsys.readouterr().out
    for text in ("150 of 200 updates", "step of test", "minimum_passed", "lr after the switch"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_no_switch_is_said(tmp_path: Path, capsys: Any) -> None:
    losses = write(tmp_path / "l.csv", LOSSES[:40])
    assert run("--losses", losses, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["switch_step"], shown["lr_after"]) == (None, None)
    assert run("--losses", losses) == 0
    assert "the warmup does not end" in capsys.readouterr().err


def test_traces_come_from_a_column(tmp_path: Path, capsys: Any) -> None:
    losses = write(tmp_path / "l.csv", ["1.0,3", "1.0,", "1.0,nan"], "loss,trace")
    kind = "curvature_adaptive:scale='raw'"
    assert run("--losses", losses, "--json", kind=kind) == 0
    assert json.loads(capsys.readouterr().out)["lr"] == [0.5, 0.5, 0.5]


def test_traces_that_are_not_finite_are_told_as_a_divergence(tmp_path: Path, capsys: Any) -> None:
    losses = write(tmp_path / "l.csv", ["1.0,inf"] * 100, "loss,trace")
    kind = "curvature_adaptive:every=2,max_skipped=3"
    assert run("--losses", losses, kind=kind) == 0
    shown = capsys.readouterr()
    assert "5 of 200 updates" in shown.out
    assert "a run would end as diverged at step 4" in " ".join(shown.err.split())
    assert run("--losses", losses, "--json", kind=kind) == 0
    assert json.loads(capsys.readouterr().out)["diverged_step"] == 4


@pytest.mark.parametrize("losses", [[1.0] * 150, ["nan"] * 150, [1, 1, 2] * 50, ["inf"], [2.0]])
def test_odd_losses_give_a_sensible_curve(losses: list[Any], tmp_path: Path, capsys: Any) -> None:
    assert run("--losses", write(tmp_path / "l.csv", losses), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert all(0.0 <= lr <= 1.0 for lr in shown["lr"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("los\n1\n", "has no column 'loss', only los"),
        ("loss\n1\nx\n", "row 2: loss must be a number, got 'x'"),
        ("loss\n", "l.csv: has a header but no losses"),
        ("", "l.csv: is empty"),
        ("loss\n\n\n", "l.csv: has a header but no losses"),
        ("loss\n1\n\n2\n", "l.csv: row 2: the loss is missing; one is needed for every update"),
        ("loss,trace\n1,\n2,3\n,4\n", "row 3: the loss is missing"),
        ("trace,loss\n\n3,2\n", "row 1: the loss is missing"),
        ("loss\n" + "1\n" * 201, "l.csv: 201 losses are more than --num-steps 200"),
        ("loss,loss\n1,2\n", "has 2 columns 'loss': keep one"),
        ("loss, loss \n1,2\n", "has two columns loss"),
        ("loss,trace\n1,2\n1,x\n", "row 2: trace must be a number, got 'x'"),
        ("loss,trace\n1,2\n1,2,3\n", "l.csv: row 2 has 3 cells, more than the header's 2"),
        ("loss\n1,5\n", "l.csv: row 1 has 2 cells, more than the header's 1"),
    ],
)
def test_a_bad_file_is_one_clear_line(text: str, message: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "l.csv"
    path.write_text(text, encoding="utf-8")
    assert run("--losses", path) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_another_encoding_is_said(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "l.csv"
    path.write_text("loss\n1\n", encoding="utf-16")
    assert run("--losses", path) == 1
    assert "l.csv: is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found(separator: str, tmp_path: Path, capsys: Any) -> None:
    rows = ["1.0,3", "1.0,", "1.0,nan"]
    path = tmp_path / "l.csv"
    path.write_text("\n".join(["Loss,trace", *rows]).replace(",", separator), encoding="utf-8")
    assert run("--losses", path, "--json", kind="curvature_adaptive:scale='raw'") == 0
    assert json.loads(capsys.readouterr().out)["lr"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss\n1\n", "l.csv: has no column 'trace', from which 'curvature_adaptive' learns"),
        (
            "loss,trace\n1,\n" + "1,3\n" * 8,
            "l.csv: no trace is at a step at which 'curvature_adaptive' asks for one (0; ",
        ),
    ],
)
def test_traces_that_cannot_be_used_are_one_clear_line(
    text: str, message: str, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "l.csv"
    path.write_text(text, encoding="utf-8")
    assert run("--losses", path, kind="curvature_adaptive") == 1
    assert message in capsys.readouterr().err


def test_a_loss_may_be_nan_and_empty_lines_end_the_file(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "l.csv"
    for end, updates, reason in (("\n\n\n", 2, None), ("\nnan\n3\n", 4, "non_finite_loss")):
        path.write_text("\ufeff loss \r\n2\r\n1" + end, encoding="utf-8")
        assert run("--losses", path, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["updates"], shown["outcome"]["warmup_reason"]) == (updates, reason)


@pytest.mark.parametrize("peak_lr", ["0", "-1", "nan", "inf"])
def test_a_bad_learning_rate_is_one_clear_line(peak_lr: str, tmp_path: Path, capsys: Any) -> None:
    assert run("--losses", write(tmp_path / "l.csv", LOSSES), "--peak-lr", peak_lr) == 1
    shown = capsys.readouterr().err
    assert "--peak-lr must be a positive number" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("auto_warmup:min_multiplier=2.0", "must be in (0, 1), got 2.0"),
        ("auto_warmup:max_warmup_fraction=1.5", "must be in (0, 1], got 1.5"),
        ("auto_warmpu", "did you mean 'auto_warmup'"),
        ("curvature_adaptive", "has no column 'trace'"),
    ],
)
def test_a_bad_schedule_is_one_clear_line(
    kind: str, message: str, tmp_path: Path, capsys: Any
) -> None:
    assert run("--losses", write(tmp_path / "l.csv", LOSSES), kind=kind) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("kind", sorted(schedule_types()))
def test_every_schedule_can_be_replayed(kind: str, tmp_path: Path, capsys: Any) -> None:
    losses = write(tmp_path / "l.csv", [f"{loss},{1 + loss}" for loss in LOSSES], "loss,trace")
    for shorthand in (kind,) if "warmup" in kind else (kind, f"{kind}+warmup"):
        assert run("--losses", losses, "--json", kind=shorthand) == 0
        shown = json.loads(capsys.readouterr().out)
        assert len(shown["lr"]) == len(LOSSES)
        assert all(0.0 <= lr <= 1.0 for lr in shown["lr"])


def test_a_missing_file_is_one_clear_line(tmp_path: Path, capsys: Any) -> None:
    assert run("--losses", tmp_path / "none.csv") == 1
    assert "no such file" in capsys.readouterr().err
    assert run("--losses", tmp_path) == 1
    assert "cannot be read: Is a directory" in capsys.readouterr().err
