"""Whose worker is gone, and giving its cells to others.

A worker of this machine is gone when its lock file is free: the kernel releases it. One elsewhere,
or whose lock file is not to be seen from here, is gone when its counter has not changed while we
watched, by our own clock, for six of its heartbeats: clocks are never compared, and neither the
time in which the storage was away nor that in which we ourselves were stopped counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robustlr.records import RunPaths, remote_of
from robustlr.specs import Cell, StudySpec
from robustlr.study.locks import boot, is_free
from robustlr.study.outcome import record_failure
from robustlr.study.queue import CellQueue, Claim, Sign

_MISSED_BEATS = 6


@dataclass(slots=True)
class _Watched:
    beat: int
    at: float
    silent: float = 0.0


@dataclass(slots=True, kw_only=True)
class Vigil:
    """Watches the workers of a study. cells: of the spec, by key. me: the worker who watches, who
    is alive; None for whoever is no worker.
    """

    spec: StudySpec
    paths: RunPaths
    queue: CellQueue
    cells: Mapping[str, Cell]
    me: str | None = None
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _looked: float = -math.inf

    def look(self, *, blame: bool = True) -> None:
        """Take their cells from workers that are gone. Costs little: it looks now and then only.

        blame: whether the attempts count among those a cell has. Raises StorageError.
        """
        now = time.monotonic()
        if now - self._looked < min(1.0, self.spec.execution.heartbeat_seconds / 2):
            return
        self._looked = now
        claims = self.queue.running()  # first: who claims has given a sign before
        signs = {sign.worker: sign for sign in self.queue.signs()}
        for worker in {*signs, *(claim.worker for claim in claims)}:
            if worker != self.me and self._is_gone(worker, signs.get(worker), now):
                for claim in claims:
                    if claim.worker == worker:
                        self.take_back(claim, "its worker is gone", blame=blame)
                self.queue.forget(worker)
                self._watched.pop(worker, None)

    def take_back(self, claim: Claim, reason: str, *, blame: bool = True) -> None:
        """End an attempt whose worker is gone; the cell waits again, or has failed.

        The failure is written first: who is killed in between leaves a trial that runs, which the
        next one finds, and not a cell that nobody knows of.
        """
        cell = self.cells.get(claim.key)
        last = blame and claim.attempt > self.spec.execution.max_retries
        if cell is not None and last and self.queue.holds(claim):
            remote = remote_of(self.spec, self.paths)
            record_failure(self.paths, cell, f"{reason}, {claim.attempt} times", remote)
        retry = cell is not None and not last
        self.queue.take_away(claim, reason, retry=retry, blame=blame)

    def _is_gone(self, worker: str, sign: Sign | None, now: float) -> bool:
        if sign is None and self.queue.one_machine:
            return True
        if sign is not None and _has_let_go(sign):
            return True
        beat = -1 if sign is None else sign.beat
        watched = self._watched.get(worker)
        if watched is None or watched.beat != beat:
            self._watched[worker] = _Watched(beat, now)
            return False
        pause = self.spec.execution.heartbeat_seconds
        watched.silent += min(now - watched.at, pause)  # longer: the storage or we were away
        watched.at = now
        return watched.silent >= _MISSED_BEATS * pause


def is_anyone_alive(spec: StudySpec, queue: CellQueue) -> bool:
    """Whether a worker lives, to one look."""
    return any(is_alive(sign, spec, queue) for sign in queue.signs())


def is_alive(sign: Sign, spec: StudySpec, queue: CellQueue) -> bool:
    """Whether the worker behind a sign lives, to one look: `Vigil` watches before it takes a cell.

    It does not where the sign is too old by the storage's own clock, or where its lock file, on
    this machine, is free.
    """
    if _has_let_go(sign):
        return False
    return queue.one_machine or sign.seconds < lately(spec)


def lately(spec: StudySpec) -> float:
    """Seconds for which a sign of life counts."""
    return _MISSED_BEATS * spec.execution.heartbeat_seconds


def _has_let_go(sign: Sign) -> bool:
    """Whether the worker was on this machine, and its lock file is free."""
    return sign.boot == boot() and bool(sign.lock) and is_free(Path(sign.lock))
