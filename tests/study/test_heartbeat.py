"""A worker's signs of life reach the storage, whatever else keeps it busy."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest

from robustlr.records import RunPaths
from robustlr.specs import Cell
from robustlr.study import Vigil, prepare, work
from tests.postgres import Server
from tests.small_study import runner, small_spec

SECONDS = 60.0


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def test_a_worker_without_a_connection_for_its_beats_takes_no_cell(
    paths: RunPaths, postgres: Server
) -> None:
    """It would train on while its cells are given to others."""
    owner, address = postgres.new_role("CREATE, USAGE ON SCHEMA public")
    spec, taken = small_spec(execution={"storage": address}), list[Cell]()
    _, queue = prepare(spec, paths)
    del queue
    role = address.partition("//")[2].partition(":")[0]
    with psycopg.connect(owner, autocommit=True) as connection:

        def allow(connections: int) -> None:
            connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT {connections}".encode())

        allow(1)
        worker = threading.Thread(
            target=lambda: work(paths, "w#1", runner(taken.append), storage=address), daemon=True
        )
        worker.start()
        time.sleep(2.0)
        assert taken == []
        assert worker.is_alive()  # it waits for a connection
        allow(-1)
        worker.join(SECONDS)
    assert len(taken) == 8


def test_watching_over_others_delays_no_beat(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To write down that a cell of theirs has failed may take long, at an address."""
    spec = small_spec(seeds=1, execution={"storage": database, "heartbeat_seconds": 0.1})
    _, queue = prepare(spec, paths)
    ended, looked = threading.Event(), threading.Event()

    def look(self: Vigil) -> None:
        looked.set()
        ended.wait(SECONDS)

    def until_it_has_beaten(cell: Cell) -> None:
        deadline = time.monotonic() + SECONDS
        looked.wait(SECONDS)
        first = queue.signs()[0].beat
        while queue.signs()[0].beat < first + 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert queue.signs()[0].beat >= first + 2
        ended.set()

    monkeypatch.setattr(Vigil, "look", look)
    assert work(paths, "w#1", runner(until_it_has_beaten), storage=database) == 4
