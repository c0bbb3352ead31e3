"""Several workers, one study, one database: nothing lost and nothing twice, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import polars as pl
import psycopg
import pytest

from robustlr.specs import load_study, without_password
from robustlr.study import Sign
from tests.cli.workers import (
    completed,
    finish,
    queue_of,
    slow_study,
    start,
    table,
    told,
    wait_until,
)
from tests.postgres import Server
from tests.small_study import write_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The table of the slow study, from one run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study, slow = slow_study(folder)
    slow.unlink()
    finish(start("run", study, folder / "run", "", "--workers", "2", "--no-report"))
    return table(study, folder / "run")


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


SKEWED = """\
import os, time
_ahead, _time, _time_ns = float(os.environ["SECONDS_AHEAD"]), time.time, time.time_ns
time.time = lambda: _time() + _ahead
time.time_ns = lambda: _time_ns() + int(_ahead) * 10**9
"""
DAY = 86400.0


def skewed(folder: Path, seconds: float) -> dict[str, str]:
    """The environment of a process whose clock is ahead by so much."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SKEWED, encoding="utf-8")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "SECONDS_AHEAD": str(seconds)}


def test_four_workers_through_a_kill_a_stop_and_a_server_that_goes_away(
    tmp_path: Path,
    postgres: Server,
    database: str,
    undisturbed: pl.DataFrame,
    processes: list[subprocess.Popen[str]],
) -> None:
    """Whose clocks are days apart, which makes nobody miss anybody."""
    (study, slow), out = slow_study(tmp_path), tmp_path / "run"
    for days in (-2, -1, 1, 2):
        clock = skewed(tmp_path / "clock", days * DAY)
        processes.append(start("worker", study, out, database, environment=clock))
    killed, stopped, third, fourth = processes
    queue = queue_of(study, out, database)
    wait_until(lambda: len(queue.running()) == 4)

    def held_by(process: subprocess.Popen[str]) -> set[int]:
        name = f"-{process.pid}-"
        return {claim.trial for claim in queue.running() if name in claim.owner}

    killed.send_signal(signal.SIGKILL)
    stopped.send_signal(signal.SIGSTOP)
    wait_until(lambda: not held_by(killed) and not held_by(stopped))  # the others have missed them
    postgres.stop()
    slow.unlink()
    stopped.send_signal(signal.SIGCONT)
    assert third.stdout is not None
    for line in third.stdout:  # it has trained its cell, and cannot tell
        if "cannot be reached" in line:
            break
    assert line.startswith(f"storage {without_password(database)}: cannot be reached: ")
    assert "it is tried again for 60 minutes" in line
    postgres.start()
    said = finish(stopped)
    assert "another worker has taken it over; this result is discarded" in said
    assert "answers again" in finish(third)
    finish(fourth)
    assert completed(database) == dict.fromkeys((cell.key for cell in load_study(study).cells()), 1)
    assert sum(told(database, optuna.trial.TrialState.FAIL).values()) == 2
    assert table(study, out).equals(undisturbed)
    assert queue.signs() == []


def test_a_run_and_a_worker_share_the_cells_and_a_second_run_is_refused(
    tmp_path: Path,
    database: str,
    undisturbed: pl.DataFrame,
    processes: list[subprocess.Popen[str]],
) -> None:
    (study, slow), out = slow_study(tmp_path), tmp_path / "run"
    run = start("run", study, out, database, "--workers", "1", "--no-report")
    processes.append(run)
    queue = queue_of(study, out, database)
    wait_until(queue.running)
    second = start("run", study, out, database, "--no-report")
    worker = start("worker", study, out, database)
    processes += [second, worker]
    said, _ = second.communicate()
    assert second.returncode == 1
    assert "another `study run` is at work on this study" in said.splitlines()[-1]
    wait_until(lambda: len(queue.running()) == 2)
    slow.unlink()
    finish(run)
    assert not finish(worker).splitlines()[-1].endswith(" ran 0")
    assert set(completed(database).values()) == {1}
    assert table(study, out).equals(undisturbed)


def test_a_worker_told_to_stop_while_its_storage_is_away_ends(
    tmp_path: Path, postgres: Server, database: str, processes: list[subprocess.Popen[str]]
) -> None:
    (study, _), out = slow_study(tmp_path, seeds=1), tmp_path / "run"
    worker = start("worker", study, out, database)
    processes.append(worker)
    queue = queue_of(study, out, database)
    wait_until(queue.running)
    (claim,) = queue.running()
    postgres.stop()
    try:
        worker.send_signal(signal.SIGTERM)
        said, _ = worker.communicate(timeout=120)
    finally:
        postgres.start()
    assert worker.returncode == 1
    assert said.splitlines()[-1].startswith("robustlr: storage ")
    assert (out / "checkpoints" / f"{claim.key}.safetensors").exists()


def test_machines_that_share_an_address_and_no_folder(
    tmp_path: Path,
    database: str,
    undisturbed: pl.DataFrame,
    processes: list[subprocess.Popen[str]],
) -> None:
    (study, slow), address = slow_study(tmp_path), f"dir::file://{tmp_path / 'bucket'}"
    machines = [tmp_path / "a", tmp_path / "b"]
    for machine in machines:
        machine.mkdir()
        processes.append(start("worker", study, address, database, cwd=machine))
    queue = queue_of(study, tmp_path / "nowhere", database)
    wait_until(lambda: len(queue.running()) == 2)
    slow.unlink()
    counts = [int(finish(worker).split()[-1]) for worker in processes]
    assert sum(counts) == 16
    assert min(counts) > 0
    assert set(completed(database).values()) == {1}
    watching = start("status", study, address, database, "--json", cwd=tmp_path)
    status = json.loads(finish(watching))
    assert (status["completed"], status["workers"]) == (16, [])
    assert table(study, tmp_path / "runs" / "small").equals(undisturbed)


def test_the_password_reaches_no_file_and_no_message(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    study, out = write_study(tmp_path), tmp_path / "run"
    said = finish(start("run", study, out, database, "--workers", "1"))
    wrong = database.replace(postgres.password, "wr0ng%40secret")
    refused = start("worker", study, out, wrong)
    told, _ = refused.communicate()
    assert refused.returncode == 1
    assert told.splitlines()[-1].count("password authentication failed") == 1
    for text in ("wr0ng", postgres.password):
        assert text not in said + told
    for file in out.rglob("*"):
        assert not file.is_file() or postgres.password.encode() not in file.read_bytes()


def test_a_worker_that_does_not_fit_is_told_why(tmp_path: Path, database: str) -> None:
    study, out = write_study(tmp_path), tmp_path / "run"
    finish(start("worker", study, out, database))

    def refusal(folder: Path) -> str:
        process = start("worker", study, folder, database)
        said, _ = process.communicate()
        assert process.returncode == 1
        return said.splitlines()[-1]

    said = refusal(tmp_path / "other")
    assert "/other: is not where the study 'small' in this storage keeps its results, which" in said
    assert f":{out}; share that and name it with --out, or give" in said
    write_study(tmp_path, seeds=3)
    assert "holds this study with other cells" in refusal(out)
    write_study(tmp_path, num_steps=30)
    assert "num_steps: [20] -> [30]" in refusal(out)
    write_study(tmp_path)
    somebody = Sign("far#1", "elsewhere", 0, 0.0, "another boot")
    queue_of(study, out, database).beat(somebody)  # whom one must agree with
    with psycopg.connect(database, autocommit=True) as connection:
        for name, value in (("workload logistic", '"0123"'), ("robustlr", '"0.0.1"')):
            connection.execute(
                "UPDATE study_user_attributes SET value_json = %s WHERE key = %s",
                (value, f"code {name}"),
            )
            said = refusal(out)
            assert ("code of workload 'logistic'" in said) == (name != "robustlr")
    assert "run robustlr 0.0.1, and this is" in said
