"""Several workers, one study, one database: nothing lost and nothing twice, whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest

from robustlr.records import RunPaths
from robustlr.specs import load_study
from tests.cli.workers import (
    completed,
    finish,
    queue_of,
    slow_study,
    start,
    table,
    wait_until,
)
from tests.postgres import Server
from tests.small_study import result_files, write_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The table of the slow study, from one run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = slow_study(folder, seeds=4)
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


def test_four_workers_through_a_kill_a_stop_and_a_server_that_goes_away(
    tmp_path: Path,
    postgres: Server,
    database: str,
    undisturbed: pl.DataFrame,
    processes: list[subprocess.Popen[str]],
) -> None:
    study, out = slow_study(tmp_path, seeds=4), tmp_path / "run"
    processes += [start("worker", study, out, database) for _ in range(4)]
    paths = RunPaths(out)
    wait_until(lambda: len(result_files(paths)) >= 2)
    queue = queue_of(study, out, database)

    def held_by(process: subprocess.Popen[str]) -> set[int]:
        name = f"-{process.pid}"
        return {claim.trial for claim in queue.running() if claim.owner.endswith(name)}

    killed, stopped = processes[:2]
    wait_until(lambda: held_by(killed))
    killed.send_signal(signal.SIGKILL)
    wait_until(lambda: held_by(stopped))
    stopped.send_signal(signal.SIGSTOP)
    lost = held_by(stopped)
    postgres.stop()
    postgres.start()
    wait_until(lambda: not lost or not held_by(stopped) & lost)  # another has missed it
    stopped.send_signal(signal.SIGCONT)
    said = [finish(process) for process in processes[1:]]
    if lost:
        assert "another worker has taken it over; this result is discarded" in said[0]
    assert completed(database) == dict.fromkeys((cell.key for cell in load_study(study).cells()), 1)
    assert table(study, out).equals(undisturbed)
    assert queue.signs() == []


def test_a_run_and_a_worker_share_the_cells_and_a_second_run_is_refused(
    tmp_path: Path, database: str, undisturbed: pl.DataFrame
) -> None:
    study, out = slow_study(tmp_path, seeds=4), tmp_path / "run"
    run = start("run", study, out, database, "--workers", "1", "--no-report")
    wait_until(lambda: result_files(RunPaths(out)))
    second = start("run", study, out, database, "--no-report")
    worker = start("worker", study, out, database)
    said, _ = second.communicate()
    assert second.returncode == 1
    assert "another `study run` is at work on this study" in said.splitlines()[-1]
    finish(run)
    assert not finish(worker).splitlines()[-1].endswith(" ran 0")
    assert set(completed(database).values()) == {1}
    assert table(study, out).equals(undisturbed)


def test_machines_that_share_an_address_and_no_folder(
    tmp_path: Path, database: str, undisturbed: pl.DataFrame
) -> None:
    study, address = slow_study(tmp_path, seeds=4), f"dir::file://{tmp_path / 'bucket'}"
    machines = [tmp_path / "a", tmp_path / "b"]
    for machine in machines:
        machine.mkdir()
    workers = [start("worker", study, address, database, cwd=machine) for machine in machines]
    counts = [int(finish(worker).split()[-1]) for worker in workers]
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
    with psycopg.connect(database, autocommit=True) as connection:
        for name, value in (("workload logistic", '"0123"'), ("robustlr", '"0.0.1"')):
            connection.execute(
                "UPDATE study_user_attributes SET value_json = %s WHERE key = %s",
                (value, f"code {name}"),
            )
            said = refusal(out)
            assert ("code of workload 'logistic'" in said) == (name != "robustlr")
    assert "run robustlr 0.0.1, and this is" in said
