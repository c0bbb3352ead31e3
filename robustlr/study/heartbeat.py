"""A worker's signs of life, from a thread of its own: a cell may take hours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from robustlr.errors import StorageError
from robustlr.records import RunPaths
from robustlr.specs import Cell, StudySpec
from robustlr.study.locks import boot
from robustlr.study.opening import open_queue
from robustlr.study.queue import CellQueue, Sign
from robustlr.study.vigil import Vigil


class Heartbeat:
    """Beats while it is entered; on several machines it also watches over the other workers.

    lock: whether the worker holds its lock file. A beat that does not reach the storage is left
    out: the next one comes. Watching has another thread: writing down what became of a worker
    that is gone may take longer than a beat may be late.
    """

    def __init__(
        self, spec: StudySpec, paths: RunPaths, worker: str, cells: Mapping[str, Cell], lock: str
    ) -> None:
        self._spec, self._paths, self._cells = spec, paths, cells
        self._sign = Sign(worker, socket.gethostname(), 0, 0.0, boot(), lock)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, queue: CellQueue, *, stop: Callable[[], bool] = lambda: False) -> Self:
        """The first beat reaches the storage before any cell is claimed.

        queue: the worker's own. The threads share a connection to a database, which is made now:
        without one a worker would work on while its cells are given to others. stop: ends the wait
        for it. Raises StorageError.
        """
        queue.beat(self._sign)
        if queue.one_machine:  # a touch of a file, from any thread
            self._threads = [_thread("heartbeat", lambda: self._beat(queue))]
            return self
        beats = open_queue(self._spec, self._paths, patient=True, patience=0.0, stop=stop)
        vigil = Vigil(
            spec=self._spec,
            paths=self._paths,
            queue=beats,
            cells=self._cells,
            me=self._sign.worker,
        )
        self._threads = [
            _thread("heartbeat", lambda: self._beat(beats)),
            _thread("vigil", lambda: self._watch(vigil)),
        ]
        return self

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _beat(self, queue: CellQueue) -> None:
        while self._pause():
            self._sign = replace(self._sign, beat=self._sign.beat + 1)
            with suppress(StorageError):
                queue.beat(self._sign)

    def _watch(self, vigil: Vigil) -> None:
        while self._pause():
            with suppress(StorageError):
                vigil.look()

    def _pause(self) -> bool:
        return not self._stop.wait(self._spec.execution.heartbeat_seconds)


def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=target, name=name, daemon=True)
