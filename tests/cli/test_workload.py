"""robustlr workload list."""

from __future__ import annotations

import json

import pytest

from robustlr.workloads import workload_names
from robustlr_cli.app import main


def test_list_names_every_workload_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "list", "--json"]) == 0
    listed = {row["kind"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(workload_names())
    assert listed["digits_mlp"]["options"] == {"hidden": [64, 64]}
    assert "digits" in listed["digits_mlp"]["summary"]


def test_the_table_says_how_to_bring_your_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "list"]) == 0
    captured = capsys.readouterr()
    assert "logistic" in captured.out
    assert "package.module:name" in captured.err
