"""SIGTERM as a wish: who is told to stop comes to a good place first, and ends with status 0."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether this process was told to stop; asks to be told from the moment it is made."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def __call__(self) -> bool:
        return self._asked

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True


@contextmanager
def undisturbed() -> Iterator[None]:
    """SIGINT and SIGTERM wait until this is over, and reach no program that is started in it.

    For what must not be done by half: a program that has done its part, of which nobody knows.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
