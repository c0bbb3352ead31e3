"""A cell that several processes train together: one torchrun group on this machine.

The cell goes in as JSON, the result comes out as a file; a result that is there and whole is
trusted before the exit status, since a rank may die at exit after its work is done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil

from robustlr.errors import DataError, WorkloadError, one_line
from robustlr.execution.rank import ERROR_MARK
from robustlr.records import RunRecord, read_curve, read_record
from robustlr.specs import Cell


def run_group(cell: Cell, *, threads: int, timeout: float) -> tuple[RunRecord, pl.DataFrame]:
    """Train `cell` in a group of its processes_per_cell ranks.

    threads: CPU threads of each rank. timeout: seconds; a group that takes longer is ended whole.
    Raises WorkloadError with what its ranks said last where it left no result.
    """
    with tempfile.TemporaryDirectory(prefix="robustlr-") as folder:
        cell_file, result, log = (Path(folder) / name for name in ("cell.json", "result", "log"))
        cell_file.write_text(json.dumps(cell.table()), encoding="utf-8")
        status = _torchrun(cell, cell_file, result, log, threads=threads, timeout=timeout)
        try:
            return read_record(result), read_curve(result)
        except DataError as error:
            output = log.read_text(errors="replace")
            raise WorkloadError(
                f"its group of {cell.training.processes_per_cell} processes ended ({status}): "
                f"{_last_words(output)}"
            ) from error


def _torchrun(
    cell: Cell, cell_file: Path, result: Path, log: Path, *, threads: int, timeout: float
) -> str:
    """Start the group and see it end; how it ended."""
    command = [
        sys.executable,
        *("-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(cell.training.processes_per_cell)),
        *("-m", "robustlr.execution.rank", str(cell_file), str(result)),
    ]
    with (
        open(log, "wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the lifeline of every rank: see robustlr.execution.lifeline
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        ) as group,
    ):
        try:
            return f"exit status {group.wait(timeout)}"
        except subprocess.TimeoutExpired:
            return f"no end after {timeout:g} s"
        finally:
            _end_whole(group)


def _last_words(output: str) -> str:
    """The sentence of the rank that failed first, or the last line there is.

    >>> _last_words("noise\\nrobustlr: ValueError: no\\nroot cause\\n")
    'ValueError: no'
    >>> _last_words("")
    'no output'
    """
    lines = output.strip().splitlines()
    told = [line for line in lines if line.startswith(ERROR_MARK)]
    return one_line((told[:1] or lines[-1:] or ["no output"])[0].removeprefix(ERROR_MARK))


def _end_whole(group: subprocess.Popen[bytes]) -> None:
    """Kill the group with its ranks, which torchrun puts into sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(group.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    group.kill()
    group.wait()
