"""A connection to PostgreSQL that survives the server's absence.

The address is read by PostgreSQL's own library: PGPASSWORD, ~/.pgpass and its other settings
work. A password is never part of a message.
"""

from __future__ import annotations

import logging
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from robustlr.errors import StorageError, one_line
from robustlr.specs import libpq_url, without_password

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

_CONNECT_SECONDS = 10
_IDLE_SECONDS = 30  # a stopped client must not keep what it has locked from the others
_ANSWER_SECONDS = 60.0  # a server that is silent for longer is taken for gone
_PARTING_SECONDS = 5.0  # who was told to stop is patient no longer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_LOG = logging.getLogger(__name__)
_REFUSALS = ("password authentication failed", "no password supplied", "does not exist")


class Database:
    """One connection, made anew whenever it is lost.

    patience: seconds to wait for a server that is away; 0 to say so at once. stop: whether we were
    told to stop, and then wait for a few seconds at most.
    """

    _connection: Connection[Any] | None = None

    def __init__(
        self, url: str, *, patience: float, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._url = libpq_url(url)
        self.shown = without_password(url)
        self.patience, self._stop = patience, stop
        self._turn = threading.Lock()  # threads that share it take turns

    def run(
        self, operation: Callable[[Connection[Any], bool], T], *, seconds: float | None = None
    ) -> T:
        """The result of `operation(connection, again)`, in one transaction.

        It is repeated when the connection breaks, which is told once where it stays broken.
        again: an earlier try may have been committed, though nobody heard. seconds: that a try may
        take, if it is much to do. Raises StorageError.
        """
        with self._turn:
            return self._run(operation, seconds)

    def _run(self, operation: Callable[[Connection[Any], bool], T], seconds: float | None) -> T:
        import psycopg

        started, pause, again, told = time.monotonic(), _FIRST_PAUSE, False, False
        while True:
            try:
                if self._connection is None:
                    self._connection = self.connect()
                with _bounded(self._connection, seconds), self._connection.transaction():
                    result = operation(self._connection, again)
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as e:
                self.close()
                error = e
            except psycopg.Error as e:
                raise StorageError(f"storage {self.shown}: {_said(e)}") from None
            else:
                if told:
                    _LOG.warning("storage %s: answers again", self.shown)
                return result
            refused = any(sign in str(error) for sign in _REFUSALS)
            patience = min(self.patience, _PARTING_SECONDS) if self._stop() else self.patience
            if refused or time.monotonic() - started >= patience:
                raise StorageError(f"storage {self.shown}: cannot be reached: {_said(error)}")
            if again and not told:  # one lost connection is no news: the next may come at once
                told = True
                _LOG.warning(
                    "storage %s: cannot be reached: %s; it is tried again for %.0f minutes",
                    *(self.shown, _said(error), self.patience / 60),
                )
            again = True
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def connect(self) -> Connection[Any]:
        """A further connection, the caller's own.

        Raises StorageError for an address that cannot be read, and psycopg's errors.
        """
        import psycopg

        try:
            connection = psycopg.connect(
                self._url, connect_timeout=_CONNECT_SECONDS, autocommit=True
            )
        except psycopg.ProgrammingError:  # its text may hold the password
            raise StorageError(
                f"storage {self.shown}: is not an address PostgreSQL can read; characters such as "
                "'%', '@', '/' or a space in a password are written '%25', '%40', '%2F', '%20'"
            ) from None
        with _bounded(connection):
            connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
        return connection

    def __del__(self) -> None:  # whoever drops a queue drops its connection
        self.close()

    def close(self) -> None:
        """Let go of the connection; the next operation makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def _bounded(connection: Connection[Any], seconds: float | None = None) -> Iterator[None]:
    """Hang up on a server that is silent: PostgreSQL's library would wait for ever.

    Raises psycopg.OperationalError.
    """
    import psycopg

    seconds = seconds or _ANSWER_SECONDS
    hung_up = threading.Event()

    def hang_up() -> None:
        hung_up.set()
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as s,
        ):
            s.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.Error:
        if hung_up.is_set():
            raise psycopg.OperationalError(f"no answer for {seconds:.0f} seconds") from None
        raise
    finally:
        timer.cancel()


def _said(error: Exception) -> str:
    sentences = re.sub(r"(?<=\w)\n\s*(?=[A-Z])", ". ", str(error))  # one a line
    text = one_line(sentences or type(error).__name__)
    return text.removeprefix("connection failed: ").removeprefix("connection is bad: ")
