"""One worker process: ``python -m robustlr.execution.worker ROOT WORKER``.

Takes cells until none is left. It ends with its parent, ignores Ctrl-C (the parent decides), and
says in its last line of output why it gave up, if it did. SIGTERM makes it put its cell aside,
with a checkpoint, and end with status 0.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path

import polars as pl

from robustlr.errors import (
    RobustlrError,
    StorageError,
    StudyConflictError,
    WorkloadError,
    one_line,
)
from robustlr.execution.lifeline import end_with_parent, tell_parent
from robustlr.execution.stopping import Stop
from robustlr.records import RunPaths, RunRecord, read_spec
from robustlr.specs import Cell, StudySpec, WorkloadSpec
from robustlr.study import (
    CellQueue,
    agree_on_code,
    agree_on_version,
    hold,
    moves,
    with_storage,
    work,
)
from robustlr.workloads import Workload, build_workload, code_hash


def main(root: str, worker: str) -> int:
    """Exit status: 0 when no cell is left, 1 when the study cannot go on."""
    stop = Stop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    paths = RunPaths(Path(root))
    try:
        run_worker(paths, worker, stop)
    except RobustlrError as error:
        if error.__cause__ is not None:  # the user's own mistake: the log has its traceback
            with suppress(OSError):
                traceback.print_exc()
        tell_parent(str(error))
        return error.exit_code
    except Exception as error:
        with suppress(OSError):
            traceback.print_exc()
        what = one_line(f"{type(error).__name__}: {error}")
        tell_parent(f"unexpected {what} (a bug; see {paths.worker_log(worker.partition('#')[0])})")
        return 1
    return 0


def run_worker(
    paths: RunPaths, worker: str, stop: Stop, *, storage: str | None = None, wait: bool = False
) -> int:
    """Take cells of the study in `paths` until none is left; how many got their result here.

    worker: its name, or "name#life"; several machines need a life, and one is made up where there
    is none. stop: says when to put the cell aside and end. storage: the queue's address, where the
    folder or the environment does not tell it whole. wait: stay while others are at work, in case
    one of them vanishes. Raises RobustlrError where the study cannot go on.
    """
    name, _, life = worker.partition("#")
    lock = hold(paths.worker_lock(name))
    if lock is None:
        raise StorageError(f"{paths.root}: worker {name} is at work already")
    try:
        spec = with_storage(read_spec(paths), storage)
        codes = _check(spec)
        if spec.execution.storage and not life:
            worker = f"{name}#{secrets.token_hex(3)}"
        run_cell = partial(_run_cell, spec, paths, stop)

        def agree(queue: CellQueue) -> None:
            if moves(spec, paths, driving=True, me=name):  # begun twice at the same moment
                raise StudyConflictError(
                    f"{paths.root}: the study has been begun with another storage; name that one"
                )
            agree_on_version(spec, queue)
            for label, code in codes.items():
                agree_on_code(queue, label, code)

        return work(paths, worker, run_cell, storage=storage, wait=wait, agree=agree, stop=stop)
    finally:
        lock.release()


_workloads: dict[str, Workload] = {}


def _check(spec: StudySpec) -> dict[str, str]:
    """Refuse, before any cell runs, what the user wrote wrong; the hashes of the workloads' code.

    Raises SpecError, DataError or WorkloadError.
    """
    import torch

    from robustlr.training import rehearse, require_trackers

    require_trackers(spec.execution.trackers)
    torch.set_num_threads(spec.execution.threads_per_cell)
    codes = {}
    for choice in spec.workload:
        workload = _workload(choice)
        rehearse(spec, choice, workload)
        codes[choice.label] = code_hash(workload)
    _free_memory()  # which the ranks of a group, or workers that share this GPU, will need
    return codes


def _run_cell(
    spec: StudySpec, paths: RunPaths, stop: Stop, cell: Cell
) -> tuple[RunRecord, pl.DataFrame]:
    from robustlr.execution.request import Request
    from robustlr.training import out_of_memory

    request = Request.of(cell, spec, paths)
    if cell.training.processes_per_cell > 1:
        from robustlr.execution.group import run_group

        return run_group(request, spec.execution, stop=stop, note=_note)
    try:
        return request.train(_workload(cell.workload), stop, _note)
    except Exception as error:
        memory = out_of_memory(error)
        if memory is None:
            raise
        traceback.print_exc()
    _free_memory()  # out here nothing holds on to the frames of the error any more
    raise WorkloadError(f"{memory}; a smaller batch, or more accumulation_steps, needs less")


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _note(text: str) -> None:
    print(text, flush=True)


def _workload(spec: WorkloadSpec) -> Workload:
    name = json.dumps([spec.kind, spec.factory, dict(spec.options)], sort_keys=True, default=str)
    if name not in _workloads:
        _workloads[name] = build_workload(spec)
    return _workloads[name]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
