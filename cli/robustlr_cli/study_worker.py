"""`robustlr study worker`: one worker, on this machine or on any other that shares the study."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from typing import Annotated

import typer

from robustlr_cli._arguments import Out, Storage, Study, code_folders, locate
from robustlr_cli._console import note


def worker(
    study: Study,
    out: Out = None,
    storage: Storage = None,
    wait: Annotated[
        bool,
        typer.Option(
            help="Stay while other workers have cells, to take over those of one that vanishes."
        ),
    ] = True,
) -> None:
    """Take cells of a study until none is left.

    Any number of workers, on any machines: they share the storage (PostgreSQL) and the study's
    folder. A worker begins a study that is not there yet, and never changes one that is.
    """
    from robustlr.errors import InterruptedStudyError
    from robustlr.execution.slots import require_gpus
    from robustlr.execution.stopping import Stop
    from robustlr.execution.worker import run_worker
    from robustlr.study import join

    stop = Stop()
    spec, paths = locate(study, out, storage)
    require_gpus(spec)
    sys.path[:0] = map(str, code_folders(study))
    # containers that share a folder may have the same name and the same process ids
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    join(spec, paths, stop=stop)
    note(f"{spec.name}: worker {name} takes cells; results in {paths.root}")
    try:
        count = run_worker(paths, name, stop, storage=spec.execution.storage, wait=wait)
    except KeyboardInterrupt:
        text = "interrupted; the cell begun here waits again once the others miss this worker"
        raise InterruptedStudyError(text) from None
    if stop():
        note(f"{spec.name}: worker {name} was told to stop; it ran {count}")
    else:
        note(f"{spec.name}: no cell is left for worker {name}; it ran {count}")
