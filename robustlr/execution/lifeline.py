"""The line between a process of ours and the one that started it.

A socket is the child's standard input. However the parent ends, the kernel closes its end and the
child, reading, is told: no process of ours outlives the one that started it. The other way round
the child leaves a sentence when it gives up, which also works where the disk is full.

Children inherit standard input: the ranks of a torchrun group hang on the line of the worker that
started the group.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress

_ORPHANED = 1
_MOST_BYTES = 1 << 14


def lifeline() -> tuple[socket.socket, socket.socket]:
    """(the parent's end, the child's end: its standard input, to be closed once it runs)."""
    return socket.socketpair()


def end_with_parent() -> None:
    """Leave at once, wherever we are, when standard input ends: an orphan would race with the
    next run of the study. Nothing is torn by it, since results appear by a rename.

    Where standard input is a terminal, a person is the parent, and there is no line.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(_ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def tell_parent(sentence: str) -> None:
    """Say why we give up; where nobody listens, say it to the log alone."""
    with suppress(OSError):
        print(sentence, flush=True)
    with suppress(OSError):
        os.write(0, sentence.encode()[:_MOST_BYTES])


def heard(line: socket.socket) -> str:
    """What a child that has ended said on its line, or nothing."""
    line.setblocking(False)
    try:
        return line.recv(_MOST_BYTES).decode(errors="replace")
    except (BlockingIOError, ConnectionResetError):
        return ""
