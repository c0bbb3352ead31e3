"""Nobody waits for ever: not for a server that is away, nor for one that is silent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from robustlr.errors import StorageError
from robustlr.study import database as module
from robustlr.study.database import Database

NOWHERE = "postgresql://me@127.0.0.1:1/studies"


@contextmanager
def silent(server: Database) -> Iterator[None]:
    """The server's end of the open connection is stopped."""
    backend = psutil.Process(server.run(lambda connection, _: connection.info.backend_pid))
    assert backend.name().startswith("postgres")
    backend.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        backend.send_signal(signal.SIGCONT)


def one(server: Database) -> object:
    return server.run(lambda connection, _: connection.execute("SELECT 1").fetchone())


def test_a_silent_server_is_hung_up_on(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 1.0)
    impatient, patient = Database(database, patience=0.0), Database(database, patience=600.0)
    with silent(impatient), pytest.raises(StorageError, match="no answer for 1 seconds"):
        one(impatient)
    with silent(patient):
        assert one(patient) == (1,)  # from a connection that is not silent


class Clock:
    """Time that passes where somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_two_sentences_of_a_refused_connection_stay_two() -> None:
    with pytest.raises(StorageError, match=r"refused\. Is the server running"):
        one(Database(NOWHERE, patience=0.0))


@pytest.mark.parametrize(("stopped_after", "ends_before"), [(0.0, 15.0), (100.0, 110.0)])
def test_who_is_told_to_stop_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch, stopped_after: float, ends_before: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    server = Database(NOWHERE, patience=3600.0, stop=lambda: clock.now >= stopped_after)
    with pytest.raises(StorageError, match="cannot be reached"):
        one(server)
    assert stopped_after <= clock.now < ends_before
