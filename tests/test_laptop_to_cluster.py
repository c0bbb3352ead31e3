"""Every command of the README's page From laptop to cluster runs as it is written."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study, without_password
from tests.postgres import Server
from tests.readme import example

pytestmark = pytest.mark.slow

SECONDS = 400.0
README_DATABASE = "postgresql://me@db.example/studies"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The README's study, smaller, and `robustlr` as an installed command."""
    (tmp_path / "my_workload.py").write_text(example("my_workload.py"), encoding="utf-8")
    study = example("my.toml")
    for whole, small in (
        ("seeds = 6", "seeds = 2"),
        ("num_steps = 200", "num_steps = 20"),
        ("high = 10.0", "high = 0.01"),
    ):
        assert whole in study
        study = study.replace(whole, small)
    (tmp_path / "my.toml").write_text(study, encoding="utf-8")
    command = tmp_path / "bin" / "robustlr"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m robustlr_cli.app "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(folder: Path, commands: str) -> str:
    """What bash says to `commands`, every one of which ends well."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def address(database: str, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of an empty database, without the password, which is where the page says."""
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    return without_password(database)


def assert_complete(folder: Path, out: Path) -> None:
    results = load_results(RunPaths(out), load_study(folder / "my.toml"))
    assert results.missing == results.failed == ()
    assert len(results.runs) == 8
    assert (out / "report" / "report.html").is_file()


def test_one_machine(folder: Path) -> None:
    said = run(folder, example("one machine"))
    assert "no GPU is visible here: --cells-per-gpu changes nothing" in said
    assert said.splitlines()[-1] == "my: nothing is at work on it here"
    assert_complete(folder, folder / "runs" / "my")


def test_several_machines(folder: Path, address: str) -> None:
    commands = example("several machines").replace(README_DATABASE, address)
    assert address in commands
    run(folder, commands.replace("/shared/my", str(folder / "shared")))
    assert_complete(folder, folder / "shared")


@pytest.mark.usefixtures("slurm")
def test_slurm(folder: Path, address: str) -> None:
    table = example("slurm.toml").replace(README_DATABASE, address)
    assert 'partition = "gpu"' in table
    assert address in table
    with open(folder / "my.toml", "a", encoding="utf-8") as study:
        study.write(table.replace('"gpu"', '"test"'))
    said = run(folder, example("slurm"))
    assert "my: the jobs go on" in said
    assert said.splitlines()[-1] == "my: nothing is at work on it here"
    assert_complete(folder, folder / "runs" / "my")


def test_watching(folder: Path, address: str) -> None:
    with open(folder / "my.toml", "a", encoding="utf-8") as study:
        study.write('[execution]\ntrackers = ["tensorboard"]\n')
    run(folder, "robustlr study run my.toml --no-report")
    run(folder, f"robustlr study run my.toml --no-report --out stored --storage {address}")
    journal, stored, board = example("watching").splitlines()
    there = address.replace("postgresql://", "postgresql+psycopg://")
    stored = stored.replace("postgresql+psycopg://me@db.example/studies", there)
    assert there in stored
    assert '"study_name":"my"' in served(folder, journal, "api/studies").replace(": ", ":")
    assert '"study_name":"my"' in served(folder, stored, "api/studies").replace(": ", ":")
    assert served(folder, board, "data/runs").count("my") > 0


def served(folder: Path, command: str, page: str) -> str:
    """What a server that `command` starts has to say."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = shlex.split(command, comments=True)
    program = Path(sys.executable).with_name(words[0])
    server = subprocess.Popen(
        [str(program), *words[1:], "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + SECONDS
    with server:
        try:
            while True:
                try:
                    address = f"http://127.0.0.1:{port}/{page}"
                    with urllib.request.urlopen(address, timeout=60) as answer:
                        return str(answer.read().decode())
                except OSError:
                    assert server.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
        finally:
            server.terminate()
