"""Watching a study: once, for as long as it runs, and in Optuna's dashboard."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from robustlr.errors import StorageError
from robustlr.records import RunPaths, empty_curve
from robustlr.specs import StudySpec, load_study, without_password
from robustlr.study import (
    Sign,
    Watch,
    hold,
    open_queue,
    prepare,
    record_failure,
    with_storage,
    work,
)
from robustlr.study.locks import boot
from robustlr.study.outcome import write_outcome
from robustlr_cli.app import main
from tests.cli.workers import SECONDS, finish, start, wait_until
from tests.postgres import Server
from tests.small_study import record_of, runner, small_spec, write_study


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def test_a_study_that_has_not_begun_is_not_begun_by_looking(paths: RunPaths) -> None:
    now = Watch(small_spec(), paths).look()
    assert (now.cells, now.missing, now.waiting, now.workers) == (8, 8, 0, ())
    assert (now.cells_per_minute, now.seconds_left) == (None, None)
    assert not paths.root.exists()


def test_cells_by_state_while_they_change(paths: RunPaths) -> None:
    spec = small_spec()
    _, queue = prepare(spec, paths)
    watching = Watch(spec, paths)
    claim = queue.claim("a")
    assert claim is not None
    now = watching.look()
    assert (now.waiting, now.running, now.missing) == (7, 1, 8)
    assert [(state.worker, state.cell) for state in now.workers] == [("a", next(spec.cells()))]
    queue.complete(claim, 1.0)
    assert work(paths, "b", runner()) == 7
    cells = list(spec.cells())
    paths.cell(cells[1].key).unlink()
    record_failure(paths, cells[1], "out of memory")
    paths.cell(cells[2].key).write_bytes(b"half")
    now = watching.look()
    assert (now.completed, len(now.failed), now.damaged, now.missing) == (5, 1, 1, 1)
    assert (now.waiting, now.running, now.workers) == (0, 0, ())


def test_a_storage_that_is_away_is_told_beside_the_results(paths: RunPaths, database: str) -> None:
    spec = small_spec(execution={"storage": database})
    prepare(spec, paths)
    work(paths, "a", runner(), storage=database)
    away = small_spec(execution={"storage": "postgresql://me:secret@127.0.0.1:1/studies"})
    now = Watch(away, paths).look()
    assert now.completed == 8
    assert "postgresql://me@127.0.0.1:1/studies: cannot be reached" in now.trouble


def test_a_worker_that_gave_no_sign_for_long_is_not_alive(paths: RunPaths, database: str) -> None:
    """By the database's clock, here set forward; whoever holds a cell is listed all the same."""
    spec = small_spec(execution={"storage": database})
    _, queue = prepare(spec, paths)
    for name in ("busy", "idle"):
        queue.beat(Sign(name, "far", 1, 0.0))
    assert queue.claim("busy") is not None
    watching = Watch(spec, paths)
    now = watching.look()
    assert [(state.worker, state.alive) for state in now.workers] == [
        ("busy", True),
        ("idle", True),
    ]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "UPDATE study_user_attributes SET value_json = jsonb_set(value_json::jsonb, '{at}', "
            "to_jsonb((value_json::jsonb ->> 'at')::float - 61))::text WHERE key LIKE 'worker %'"
        )
    now = watching.look()
    assert [(state.worker, state.alive) for state in now.workers] == [("busy", False)]
    assert (now.alive, now.running, now.seconds_left) == (0, 1, None)


def test_a_worker_of_this_machine_whose_lock_is_free_is_gone_at_once(
    paths: RunPaths, database: str
) -> None:
    spec = small_spec(execution={"storage": database})
    _, queue = prepare(spec, paths)
    lock = hold(paths.worker_lock("w"))
    assert lock is not None
    queue.beat(Sign("w", "here", 1, 0.0, boot(), str(paths.worker_lock("w").resolve())))
    assert Watch(spec, paths).look().alive == 1
    lock.release()
    assert Watch(spec, paths).look().alive == 0


def test_the_watch_of_a_finished_study_ends_though_a_sign_was_left(
    tmp_path: Path, paths: RunPaths, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a claim: its worker died after the result, before it could tell."""
    study = write_study(tmp_path)
    spec = with_storage(load_study(study), database)
    _, queue = prepare(spec, paths)
    paths.worker_lock("gone").touch()
    queue.beat(Sign("gone", "far", 1, 0.0, boot(), str(paths.worker_lock("gone"))))
    claim = queue.claim("gone")
    assert claim is not None
    write_outcome(paths, record_of(next(spec.cells())), empty_curve())
    work(paths, "w", runner(), storage=database)
    command = ["study", "status", str(study), "--out", str(paths.root), "--storage", database]
    assert main([*command, "--watch"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"running +1 ", said)
    assert re.search(r"workers alive +0 ", said)
    assert re.search(r"gone +far +0 s ago, gone", said)


def test_to_watch_is_not_to_write(
    tmp_path: Path, paths: RunPaths, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not into a database that was named by mistake."""
    study = write_study(tmp_path)
    prepare(load_study(study), paths)
    command = ["study", "status", str(study), "--out", str(paths.root), "--storage", database]
    for more in ([], ["--json"]):
        assert main([*command, *more]) == 1
        said = capsys.readouterr().err
        assert f"storage {without_password(database)}: has no study 'small'; " in said
        assert said.count("\n") == 1
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT * FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert rows == []
    journal = RunPaths(tmp_path / "other")
    prepare(small_spec(name="another"), journal)
    with pytest.raises(StorageError, match=r"journal.log: has no study 'small'; `robustlr study"):
        open_queue(small_spec(), journal, create=False)


def test_a_status_that_may_not_be_read_is_told_and_is_the_exit_code(
    tmp_path: Path, paths: RunPaths, postgres: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    study, (address, reader) = write_study(tmp_path), postgres.new_role()
    prepare(with_storage(load_study(study), address), paths)
    command = ["study", "status", str(study), "--out", str(paths.root), "--storage", reader]
    assert main(command) == 1
    assert "permission denied for table studies" in capsys.readouterr().err


@contextmanager
def held_up(spec: StudySpec, paths: RunPaths) -> Iterator[threading.Event]:
    """A worker with a cell that it finishes, and goes on, when the event is set."""
    go_on = threading.Event()
    prepare(spec, paths)
    lock = hold(paths.worker_lock("w"))
    assert lock is not None
    run_cell = runner(lambda _: go_on.wait(SECONDS) and None)
    storage = spec.execution.storage
    thread = threading.Thread(target=work, args=(paths, "w", run_cell), kwargs={"storage": storage})
    thread.start()
    try:
        wait_until(open_queue(spec, paths).running)
        yield go_on
    finally:
        go_on.set()
        thread.join()
        lock.release()


@pytest.mark.slow
def test_watching_a_study_to_its_end(
    tmp_path: Path, postgres: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, paths = write_study(tmp_path), RunPaths(tmp_path / "run")
    address = database.replace(f":{postgres.password}@", "@")
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    spec = with_storage(load_study(study), address)
    with held_up(spec, paths) as go_on:
        # the study file names no storage: the run's folder knows it
        status = json.loads(finish(start("status", study, paths.root, "", "--json")))
        (worker,) = status["workers"]
        assert (worker["worker"], worker["cell"]) == ("w", next(spec.cells()).key)
        assert 0 <= worker["seconds"] < SECONDS
        assert (status["waiting"], status["running"], status["completed"]) == (7, 1, 0)
        watching = start("status", study, paths.root, address, "--watch")
        assert watching.stdout is not None
        seen = watching.stdout.readline()
        go_on.set()
        seen += watching.stdout.read()
        finish(watching)
    blocks = seen.split("study ")[1:]
    assert len(blocks) >= 2
    assert "last sign of life" in blocks[0]
    assert re.search(r"completed +8 ", blocks[-1])
    assert "last sign of life" not in blocks[-1]


@pytest.mark.slow
def test_on_a_terminal_the_blocks_are_drawn_in_place(tmp_path: Path) -> None:
    study, paths = write_study(tmp_path), RunPaths(tmp_path / "run")
    command = [sys.executable, "-m", "robustlr_cli.app", "study", "status", str(study)]
    ours, theirs = pty.openpty()
    with (
        held_up(load_study(study), paths),
        subprocess.Popen(
            [*command, "--out", str(paths.root), "--watch"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as watching,
    ):
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + SECONDS
        while seen.count(b"last sign of life") < 2 and time.monotonic() < deadline:
            if select.select([ours], [], [], 1.0)[0]:
                seen += os.read(ours, 65536)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(SECONDS) == 0
    os.close(ours)
    assert b"\x1b[1A" in seen  # the cursor goes up, the block is drawn over
    assert b"Traceback" not in seen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("on", ["journal", "postgresql"])
def test_the_dashboard_shows_the_study_while_a_worker_is_at_work(
    on: str, paths: RunPaths, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("optuna_dashboard")
    url = "" if on == "journal" else request.getfixturevalue("database")
    spec = small_spec(execution={"storage": url})
    prepare(spec, paths)
    queue = open_queue(spec, paths)
    claim = queue.claim("a")
    assert claim is not None
    storage = url.replace("://", "+psycopg://", 1) if url else str(paths.journal)
    port = free_port()
    dashboard = str(Path(sys.executable).with_name("optuna-dashboard"))
    program = [dashboard, storage, "--port", str(port)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            names = []
            deadline = time.monotonic() + SECONDS
            while not names and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
                try:
                    address = f"http://127.0.0.1:{port}/api/studies"
                    with urllib.request.urlopen(address, timeout=10) as answer:
                        found = json.load(answer)["study_summaries"]
                    names = [study["study_name"] for study in found]
                except OSError:  # not there yet, or cut off
                    continue
            assert names == ["small"]
            assert queue.complete(claim, 1.0)
            assert queue.claim("a") is not None
        finally:
            process.terminate()
