"""Ending a study: its jobs on a cluster, and its run and its workers on this machine."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from robustlr.execution import slurm
from robustlr.execution.cluster import submitted
from robustlr.records import RunPaths
from robustlr.study import holder, is_held

_POLL_SECONDS = 0.1
_PUT_ASIDE_SECONDS = 70.0  # a little more than a run allows its workers


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What was at work: jobs of a cluster, and on this machine `study run` and workers."""

    jobs: int
    runs: int
    workers: int


def cancel(paths: RunPaths) -> Cancelled:
    """End everybody who works on the study, as far as this machine can reach them.

    Workers put their cells aside first. Raises ClusterError where SLURM does not answer.
    """
    runs = _holders([paths.run_lock])
    _end(runs)  # first: it would make up for whatever else ends
    workers = _holders(sorted(paths.locks.glob("worker-*.lock")))
    jobs = 0
    if arrays := submitted(paths):
        jobs = len(slurm.living(arrays))
        slurm.cancel(arrays)
        paths.jobs.unlink(missing_ok=True)  # which tells a run on another machine
    _end(workers)
    return Cancelled(jobs, len(runs), len(workers))


def _holders(locks: list[Path]) -> dict[Path, psutil.Process]:
    found = {lock: holder(lock) for lock in locks}
    return {lock: process for lock, process in found.items() if process is not None}


def _end(processes: dict[Path, psutil.Process]) -> None:
    """Ask them to end, see that they let go of their locks, and kill those that do not."""
    for process in processes.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + _PUT_ASIDE_SECONDS
    while any(map(is_held, processes)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for lock, process in processes.items():
        if is_held(lock):
            with suppress(psutil.NoSuchProcess):
                process.kill()
