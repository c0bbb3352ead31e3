"""robustlr schedule list, show."""

from __future__ import annotations

import json

import pytest

from robustlr.schedules import parse, schedule_types
from robustlr_cli.app import main


def run_json(capsys: pytest.CaptureFixture[str], *command: str) -> object:
    assert main([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_names_every_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    listed = run_json(capsys, "schedule", "list")
    assert isinstance(listed, list)
    assert {row["kind"] for row in listed} == set(schedule_types())
    for row in listed:  # what is listed can be written into a study as it is
        assert parse({"kind": row["kind"], **row["options"]}).kind == row["kind"]
    assert main(["schedule", "list"]) == 0
    assert "cosine" in capsys.readouterr().out


def test_show_gives_the_shape(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(
        capsys, "schedule", "show", "polynomial:degree=2", "--num-steps", "10", "--rows", "3"
    )
    assert isinstance(shown, dict)
    assert shown["steps"] == [0, 5, 10]
    assert shown["multipliers"] == [1.0, 0.25, 0.0]
    assert shown["table"] == {"kind": "polynomial", "degree": 2.0}


def test_show_draws_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "show", "linear", "--rows", "3", "--num-steps", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "linear, 4 updates"
    assert [line.count("█") for line in lines[1:]] == [40, 20, 0]


@pytest.mark.parametrize("name", ["curvature_adaptive", "curvature_adaptive+warmup"])
def test_show_a_schedule_without_fixed_shape(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "show", name]) == 0
    assert "no fixed shape" in capsys.readouterr().err
    shown = run_json(capsys, "schedule", "show", name)
    assert isinstance(shown, dict)
    assert shown["multipliers"] is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cosin", "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ("polynomial:degree=-1", "degree must be a positive number, got -1.0"),
        ("polynomial:degre=1", "degre: unknown key"),
        ("cosine+cooldown", "only '+warmup'"),
        ("", "unknown schedule ''"),
    ],
)
def test_bad_schedules_are_one_line(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schedule", "show", name]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
