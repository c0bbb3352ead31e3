"""No process of ours outlives the one that started it.

The parent keeps the write end of a pipe that is the child's standard input. However the parent
ends, the kernel closes the pipe and the child reads its end. Children inherit standard input, so
the ranks of a torchrun group hang on the same line as the worker that started the group.
"""

from __future__ import annotations

import os
import threading

_ORPHANED = 1


def end_with_parent() -> None:
    """Leave at once, wherever we are, when standard input ends: an orphan would race with the
    next run of the study. Nothing is torn by it, since results appear by a rename."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(_ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
