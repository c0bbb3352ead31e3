"""A worker process as its parent sees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from robustlr.execution.lifeline import heard, lifeline
from robustlr.records import RunPaths


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """process: ``python -m robustlr.execution.worker``. worker: whose its claims are, "name" or
    "name#life". line: our end of its lifeline.
    """

    process: subprocess.Popen[bytes]
    worker: str
    line: socket.socket
    log: Path

    @classmethod
    def start(
        cls, paths: RunPaths, worker: str, environment: Mapping[str, str], folders: Iterable[Path]
    ) -> WorkerProcess:
        """Start a worker; its output goes to its name's log.

        folders: put in front of its import path.
        """
        inherited = os.environ.get("PYTHONPATH")
        path = [*map(str, folders), *([inherited] if inherited else [])]
        ours, theirs = lifeline()
        log = paths.worker_log(worker.partition("#")[0])
        with theirs, open(log, "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "robustlr.execution.worker", str(paths.root), worker],
                stdin=theirs.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(path)},
            )
        return cls(process, worker, ours, log)

    def ended(self) -> int | None:
        """Its exit status, minus the signal that killed it; None while it runs."""
        return self.process.poll()

    def terminate(self) -> None:
        """Tell it to put its cell aside and end."""
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def last_words(self) -> str:
        """Why it could not go on, as it told us; "" where something ended it. Closes the line."""
        self.process.wait()
        with self.line:
            return heard(self.line)

    def last_line(self) -> str:
        """Of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"nothing (see {self.log})"
