"""What may happen to a study, done to a running one: signals, servers, disks and files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock

from robustlr.records import RunPaths
from tests.postgres import Server


@dataclass(slots=True)
class Faults:
    """The faults, by name in `kinds`; each is a method.

    commands: the processes of the command line that are alive. again: starts the same run once
    more and returns its exit status and what it said. cuts: how often a cell's result was cut.
    """

    chance: random.Random
    paths: RunPaths
    server: Server | None
    disk: bool
    commands: Callable[[], list[subprocess.Popen[bytes]]]
    again: Callable[[], tuple[int, str]]
    cuts: Counter[str] = field(default_factory=Counter)

    @property
    def kinds(self) -> dict[str, Callable[[], bool]]:
        """Every fault that can be done here; it answers whether it was."""
        kinds = {
            "SIGKILL of a worker": lambda: self._signal(signal.SIGKILL, self._workers()),
            "SIGKILL of a command": lambda: self._signal(signal.SIGKILL, self._commands()),
            "SIGKILL of a whole tree": self._kill_tree,
            "SIGTERM of a worker": lambda: self._signal(signal.SIGTERM, self._workers()),
            "SIGTERM of a command": lambda: self._signal(signal.SIGTERM, self._commands()),
            "SIGSTOP, SIGCONT": self._stop_and_continue,
            "result cut in half": self._cut,
            "two runs at once": self._two_runs,
        }
        if self.server is None:
            kinds["torn line in the journal"] = self._tear
        else:
            kinds["PostgreSQL stopped, started"] = self._restart_server
        if self.disk:
            kinds["full disk"] = self._fill
        return kinds

    @property
    def not_here(self) -> list[str]:
        """Kinds that cannot be done on this machine, and why."""
        return [] if self.disk else ["full disk (no right to mount a small file system)"]

    def _commands(self) -> list[psutil.Process]:
        return [psutil.Process(command.pid) for command in self.commands()]

    def _workers(self) -> list[psutil.Process]:
        """Whatever trains: the children of a run, and workers of their own accord."""
        found = []
        for command in self._commands():
            with suppress(psutil.NoSuchProcess):
                children = command.children(recursive=True)
                found += children or ([command] if "worker" in command.cmdline() else [])
        return found

    def _signal(self, what: signal.Signals, whom: list[psutil.Process]) -> bool:
        if not whom:
            return False
        with suppress(psutil.NoSuchProcess):
            self.chance.choice(whom).send_signal(what)
            return True
        return False

    def _kill_tree(self) -> bool:
        commands = self._commands()
        if not commands:
            return False
        root = self.chance.choice(commands)
        with suppress(psutil.NoSuchProcess):
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        return True

    def _stop_and_continue(self) -> bool:
        """Long enough, half of the time, for the others to miss it."""
        workers = self._workers()
        if not workers:
            return False
        worker = self.chance.choice(workers)
        with suppress(psutil.NoSuchProcess):
            worker.suspend()
            time.sleep(self.chance.choice([1.0, 6.0]))
            worker.resume()
            return True
        return False

    def _cut(self) -> bool:
        results = sorted(self.paths.cells.glob("*.parquet"))
        if not results:
            return False
        result = self.chance.choice(results)
        self.cuts[result.stem] += 1
        os.truncate(result, result.stat().st_size // 2)
        return True

    def _two_runs(self) -> bool:
        """True where the second was refused, since the first is at work."""
        status, said = self.again()
        return status != 0 and "another `study run` is at work" in said

    def _tear(self) -> bool:
        """What a writer leaves that is killed in the middle: it held the lock."""
        if not self.paths.journal.exists():
            return False
        with (
            FileLock(self.paths.journal.with_suffix(".lock")),
            open(self.paths.journal, "ab") as journal,
        ):
            journal.write(b'{"op_code":6,"worker_id":"')
        return True

    def _restart_server(self) -> bool:
        assert self.server is not None
        self.server.stop(self.chance.choice(["immediate", "fast"]))
        time.sleep(self.chance.uniform(0.0, 3.0))
        self.server.start()
        return True

    def _fill(self) -> bool:
        """For three seconds, in which two workers end more than one cell."""
        ballast = self.paths.root.parent / "ballast"
        with suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        time.sleep(3.0)
        ballast.unlink()
        return True


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """`folder` as a file system of its own, of 256 MB; False where we may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
