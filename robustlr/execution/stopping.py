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
    """SIGINT and SIGTERM wait until this is over: for what must not be done by half.

    Of the main thread alone. A program that is started in it hears Ctrl-C all the same, unless it
    has a session of its own.
    """
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    # a mask would be of one thread, and another one would be given the signal
    before = {number: signal.signal(number, lambda n, _: heard.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in heard:
            signal.raise_signal(late)
