"""The command line as a whole: help, exit codes, one line per error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from robustlr_cli.app import main

COMMANDS = [
    [],
    ["study"],
    *(["study", name] for name in ("run", "plan", "status", "list", "show", "init", "schema")),
    ["compare"],
    ["speedup"],
    ["report"],
    ["report", "build"],
    ["report", "import"],
    ["schedule"],
    ["schedule", "list"],
    ["schedule", "show"],
    ["schedule", "replay"],
    ["schedule", "tabulate"],
    ["workload"],
    ["workload", "list"],
    ["theory"],
    ["theory", "design"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: robustlr" in out
    is_group = command in ([], ["study"], ["report"], ["schedule"], ["workload"])
    assert is_group or "Example: robustlr" in out


def test_a_usage_error_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "run"]) == 2
    assert main(["no-such-command"]) == 2
    assert main(["schedule", "show", "cosine", "--rows", "many"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    import robustlr

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == robustlr.__version__


def test_an_error_is_one_line_and_debug_shows_where(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "robustlr_cli.app"]
    bad = ["study", "show", "digit"]
    plain = subprocess.run([*command, *bad], capture_output=True, text=True, cwd=tmp_path)
    assert plain.returncode == 1
    assert plain.stderr == (
        "robustlr: no file and no packaged study 'digit'; did you mean 'digits'?\n"
    )
    debug = subprocess.run(
        [*command, "--debug", *bad], capture_output=True, text=True, cwd=tmp_path
    )
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


def test_an_unexpected_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("robustlr.schedules.parse", broken)
    assert main(["schedule", "show", "cosine"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "unexpected ZeroDivisionError: two lines" in error


def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m robustlr_cli.app study schema | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "{\n"
    assert done.stderr == ""


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from robustlr_cli.app import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'torch', 'polars', 'numpy', 'optuna', 'pydantic', 'matplotlib', 'accelerate'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_reading_results_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from robustlr_cli.app import main\n"
        "for command in (['study', 'show', 'digits'], ['schedule', 'show', 'cosine'],\n"
        "                ['theory', '--schedule', 'cosine', '--rho', '2']):\n"
        "    assert main(command) == 0, command\n"
        "import robustlr.report\n"
        "assert not {'torch', 'accelerate', 'optuna'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.skipif(os.name != "posix", reason="bash completion")
def test_shell_completion(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_ROBUSTLR_COMPLETE": "complete_bash",
        "COMP_WORDS": "robustlr sch",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "robustlr_cli.app"],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "schedule" in done.stdout
