"""A worker's signs of life, from a thread of its own: a cell may take hours."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
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
    out: the next one comes.
    """

    def __init__(
        self, spec: StudySpec, paths: RunPaths, worker: str, cells: Mapping[str, Cell], lock: str
    ) -> None:
        self._spec, self._paths, self._cells = spec, paths, cells
        self._sign = Sign(worker, socket.gethostname(), 0, 0.0, boot(), lock)
        self._queue: CellQueue | None = None  # of the thread
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self, queue: CellQueue) -> Self:
        """The first beat reaches the storage before any cell is claimed."""
        queue.beat(self._sign)
        if queue.one_machine:  # a touch of a file, from any thread
            self._queue = queue
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        vigil: Vigil | None = None
        while not self._stop.wait(self._spec.execution.heartbeat_seconds):
            self._sign = replace(self._sign, beat=self._sign.beat + 1)
            with suppress(StorageError):
                if self._queue is None:
                    self._queue = open_queue(self._spec, self._paths, patience=0.0)
                self._queue.beat(self._sign)
                if not self._queue.one_machine:
                    vigil = vigil or self._vigil(self._queue)
                    vigil.look()

    def _vigil(self, queue: CellQueue) -> Vigil:
        return Vigil(
            spec=self._spec,
            paths=self._paths,
            queue=queue,
            cells=self._cells,
            me=self._sign.worker,
        )
