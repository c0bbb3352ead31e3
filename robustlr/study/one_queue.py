"""One queue at a time: two of them would give every cell of a folder to two workers."""

from __future__ import annotations

import secrets

from robustlr.errors import StorageError, StudyConflictError
from robustlr.records import RunPaths, read_spec
from robustlr.specs import StudySpec
from robustlr.study.locks import is_held
from robustlr.study.opening import open_queue, with_storage
from robustlr.study.queue import CellQueue, Tally
from robustlr.study.vigil import is_anyone_alive


def with_its_storage(spec: StudySpec, paths: RunPaths) -> StudySpec:
    """The spec with the storage that its folder names, where it names none."""
    if spec.execution.storage or not paths.spec.exists():
        return spec
    return with_storage(spec, read_spec(paths).execution.storage or None)


def moves(spec: StudySpec, paths: RunPaths, *, driving: bool = False, me: str = "") -> bool:
    """Whether the study leaves the storage that its folder names for another, as it may where
    nobody is at work on it: its results are the truth.

    One database may have two addresses. driving: the caller holds the run lock. me: the name of
    the worker who asks. Raises StudyConflictError where somebody is at work there, or may be.
    """
    if not paths.spec.exists():
        return False
    theirs, mine = read_spec(paths), spec.execution.public_storage()
    named = theirs.execution.public_storage()
    if named == mine:
        return False
    where = spec.execution.results or paths.root
    busy = not driving and is_held(paths.run_lock)
    if not named:
        own = paths.worker_lock(me)
        locks = paths.locks.glob("worker-*.lock")
        busy = busy or any(lock != own and is_held(lock) for lock in locks)
        named = "a journal in its folder"
    else:
        theirs = with_storage(theirs, _with_our_password(named, spec))
        queue = open_queue(spec, paths) if mine else None
        try:
            other = open_queue(theirs, paths, patience=0.0)
            if queue is not None and _are_one(queue, other):
                return False
            busy = busy or is_anyone_alive(theirs, other)
        except StorageError as error:
            if queue is not None and _has_served(queue, spec):
                return False
            raise StudyConflictError(
                f"{where}: the study's queue is in another storage, and whether somebody is at "
                f"work there cannot be told ({error}); name that one with --storage, or, if nobody "
                f"is, remove spec.json from {where}"
            ) from None
    if busy:
        raise StudyConflictError(
            f"{where}: somebody is at work on this study, whose queue is {named}, and not "
            f"{mine or 'a journal'}; name the same storage, or wait until they have ended"
        )
    return True


def _with_our_password(named: str, spec: StudySpec) -> str:
    """The address with the password we were given, if it is for the same user and server."""
    public, whole = spec.execution.public_storage(), spec.execution.storage
    if whole and _server(named) == _server(public):
        return named.replace(_server(named), _server(whole), 1)
    return named


def _server(url: str) -> str:
    """
    >>> _server("postgresql://me@db:5432/studies")
    'me@db:5432'
    """
    return url.partition("://")[2].partition("/")[0]


def _are_one(queue: CellQueue, other: CellQueue) -> bool:
    return len({q.agree("queue", secrets.token_hex(8)) for q in (queue, other)}) == 1


def _has_served(queue: CellQueue, spec: StudySpec) -> bool:
    """Whether it has held cells of the study before."""
    return queue.tally({cell.key for cell in spec.cells()}) != Tally(0, 0, 0, None)
