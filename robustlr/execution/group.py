"""A cell that several processes train together: one torchrun group on this machine.

The cell goes in and the result comes out as a file; a result that is there and whole is trusted
before the exit status, since a rank may die at exit after its work is done. A group that dies is
ended whole and the cell tried again, from its checkpoint where it has one; an exception of the
workload's own would only be raised again.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import polars as pl
import psutil

from robustlr.errors import CellStoppedError, DataError, WorkloadError, one_line
from robustlr.execution.job import Ending, Failure, Job
from robustlr.execution.rank import NOTE_MARK
from robustlr.execution.request import Request
from robustlr.records import RunRecord, read_curve, read_record
from robustlr.specs import Cell, ExecutionSpec

_POLL_SECONDS = 0.05
_STOP_SECONDS = 60.0  # what ranks that are told to stop may take for an update and a checkpoint
_EXIT_CODE = re.compile(r"rank\s*: (\d+) .*?\n\s*exitcode\s*: -(\d+) ")


class _DiedError(Exception):
    """A group died of something that need not happen again."""


def run_group(
    request: Request,
    execution: ExecutionSpec,
    *,
    stop: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = print,
) -> tuple[RunRecord, pl.DataFrame]:
    """Train a cell in a group of its processes_per_cell ranks.

    stop: asked all the time; then the ranks write a checkpoint. note: told about attempts.
    Raises WorkloadError with what a rank raised, or with what the last of 1 + max_retries groups
    died of; CellStoppedError where told to stop.
    """
    cell = request.cell
    who = f"its group of {cell.training.processes_per_cell} processes"
    attempt = 0
    while True:
        attempt += 1
        try:
            return _attempt(request, execution, stop, note)
        except _DiedError as death:
            if stop():
                raise CellStoppedError(f"cell {cell.key}: stopped") from death
            if attempt > execution.max_retries:
                times = f", {attempt} times" if attempt > 1 else ""
                raise WorkloadError(f"{who} ended: {death}{times}") from death
            note(f"cell {cell.key}: {who} ended: {death}; tried again")


def _attempt(
    request: Request,
    execution: ExecutionSpec,
    stop: Callable[[], bool],
    note: Callable[[str], None],
) -> tuple[RunRecord, pl.DataFrame]:
    with tempfile.TemporaryDirectory(prefix="robustlr-") as folder:
        job = Job(Path(folder))
        job.ask(request)
        status = _torchrun(request.cell, job, execution, stop)
        output = job.log.read_text(errors="replace")
        for line in output.splitlines():
            if line.startswith(NOTE_MARK):
                note(line.removeprefix(NOTE_MARK))
        try:
            return read_record(job.result), read_curve(job.result)
        except DataError:
            _explain(request.cell, status, job.failures(), output)


def _explain(cell: Cell, status: str, failures: list[Failure], output: str) -> NoReturn:
    """Raise what a group without a result ended with."""
    killed = [(rank, number) for rank, number in _killed(output) if number != signal.SIGTERM]
    by_ending = {failure.ending: failure for failure in reversed(failures)}
    if Ending.STOPPED in by_ending:
        raise CellStoppedError(by_ending[Ending.STOPPED].text)
    if Ending.RAISED in by_ending and not killed:
        raised = by_ending[Ending.RAISED]
        raise WorkloadError(
            f"its group of {cell.training.processes_per_cell} processes ended: "
            f"rank {raised.rank} raised {raised.text}"
        )
    if Ending.MEMORY in by_ending:
        raise _DiedError(f"rank {by_ending[Ending.MEMORY].rank} {by_ending[Ending.MEMORY].text}")
    if killed:
        raise _DiedError(" and ".join(f"rank {rank} killed by signal {n}" for rank, n in killed))
    lines = output.strip().splitlines() or ["no output"]
    last = by_ending[Ending.LOST].text if Ending.LOST in by_ending else one_line(lines[-1])
    raise _DiedError(f"{status}: {last}")


def _killed(output: str) -> Iterator[tuple[int, int]]:
    """(rank, signal) of the ranks that torchrun's summary says were killed.

    >>> summary = "  rank      : 1 (local_rank: 1)\\n  exitcode  : -9 (pid: 7)\\n"
    >>> list(_killed(summary))
    [(1, 9)]
    """
    for rank, number in _EXIT_CODE.findall(output):
        yield int(rank), int(number)


def _torchrun(cell: Cell, job: Job, execution: ExecutionSpec, stop: Callable[[], bool]) -> str:
    """Start the group and see it end; how it ended."""
    command = [
        sys.executable,
        *("-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(cell.training.processes_per_cell)),
        *("-m", "robustlr.execution.rank", str(job.folder)),
    ]
    with (
        open(job.log, "wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the lifeline of every rank: see robustlr.execution.lifeline
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(execution.threads_per_cell)},
        ) as group,
    ):
        try:
            return _watch(group, job, execution.timeout_seconds, stop)
        finally:
            _end_whole(group)


def _watch(
    group: subprocess.Popen[bytes], job: Job, timeout: float, stop: Callable[[], bool]
) -> str:
    """See the group end, or hang; tell it to stop where that is asked for."""
    stopping, told = math.inf, set[int]()
    life, since = 0.0, time.monotonic()  # seconds by our own clock, which nobody sets
    while group.poll() is None:
        if (shown := job.life.stat().st_mtime) != life:
            life, since = shown, time.monotonic()
        if time.monotonic() - since > timeout:
            return f"no update for {timeout:g} s"
        if stop():
            stopping = min(stopping, time.monotonic())
            told |= _tell_ranks(group, told)
            if time.monotonic() - stopping > _STOP_SECONDS:
                return "told to stop in vain"
        time.sleep(_POLL_SECONDS)
    return f"exit status {group.returncode}"


def _tell_ranks(group: subprocess.Popen[bytes], told: set[int]) -> set[int]:
    """Tell the ranks that were not told yet to stop; their process ids."""
    told_now = set()
    with suppress(psutil.NoSuchProcess):
        for rank in psutil.Process(group.pid).children():
            if rank.pid not in told:
                rank.send_signal(signal.SIGTERM)
                told_now.add(rank.pid)
    return told_now


def _end_whole(group: subprocess.Popen[bytes]) -> None:
    """Kill the group with its ranks, which torchrun puts into sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(group.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    group.kill()
    group.wait()
