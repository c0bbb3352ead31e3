"""The script that sbatch is given: an array of jobs, each with the workers of one slot."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from robustlr.records import RunPaths
from robustlr.specs import StudySpec


def script(spec: StudySpec, paths: RunPaths, jobs: int, folders: Iterable[Path] = ()) -> str:
    """The text for an array of `jobs` jobs. folders: put in front of the workers' import path.

    The storage's password is not in it: it travels in the environment, as sbatch carries it on.
    """
    options = "\n".join(f"#SBATCH {option}" for option in _options(spec, paths, jobs))
    parts = ["#!/bin/bash\n" + options, _SIGNALS, _environment(spec, folders), _work(spec, paths)]
    return "\n\n".join(parts)


def cells_per_job(spec: StudySpec) -> int:
    """The cells that a job runs at the same time."""
    return spec.execution.cells_per_gpu if spec.execution.slurm.gpus_per_worker else 1


def _options(spec: StudySpec, paths: RunPaths, jobs: int) -> list[str]:
    slurm, share = spec.execution.slurm, spec.training.processes_per_cell
    threads = spec.execution.threads_per_cell * share * cells_per_job(spec)
    log = str(paths.cluster.resolve()).replace("%", "%%")
    options: dict[str, str | int | bool] = {
        "job-name": f"robustlr-{spec.name}",
        "array": f"0-{jobs - 1}",
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": slurm.cpus_per_worker or threads,
        "signal": f"B:USR1@{slurm.grace_seconds}",
        "requeue": True,
        "open-mode": "append",
        "output": f"{log}/%A_%a.log",
    }
    if slurm.partition:
        options["partition"] = slurm.partition
    if slurm.time != "":
        options["time"] = slurm.time
    if slurm.gpus_per_worker:
        options["gres"] = f"gpu:{slurm.gpus_per_worker}"
    options |= slurm.extra
    return [
        f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}"
        for name, value in options.items()
    ]


def _environment(spec: StudySpec, folders: Iterable[Path]) -> str:
    path = ":".join(shlex.quote(str(folder.resolve())) for folder in folders)
    lines = [
        *spec.execution.slurm.setup,
        f"export OMP_NUM_THREADS={spec.execution.threads_per_cell}",
        f'export PYTHONPATH={path}${{PYTHONPATH:+":$PYTHONPATH"}}' if path else "",
        "" if spec.execution.slurm.gpus_per_worker else "export CUDA_VISIBLE_DEVICES=",
    ]
    return "\n".join(filter(None, lines))


_SIGNALS = """\
workers=()
stop() { stopped=yes; kill -TERM "${workers[@]}" 2> /dev/null; }
trap 'again=yes; stop' USR1  # the time limit is near
trap stop TERM               # preempted, and SLURM itself queues it again; or cancelled"""

_WORK = """\
wait=--no-wait               # a cell of the job's former life may be missed only after a while
[ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ] && wait=--wait
for _ in $(seq {cells}); do
    [ -n "$stopped" ] && break
    {command} "$wait" < /dev/null &
    workers+=($!)
done
[ -n "$stopped" ] && stop    # told while the last one was started
status=0
for worker in "${{workers[@]}}"; do
    while kill -0 "$worker" 2> /dev/null; do wait "$worker"; done  # signals end a `wait`
    wait "$worker" || status=$?
done
[ -n "$again" ] && scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
exit $status
"""


def _work(spec: StudySpec, paths: RunPaths) -> str:
    command = [
        sys.executable, "-m", "robustlr_cli.app", "study", "worker", str(paths.root.resolve())
    ]  # fmt: skip
    return _WORK.format(cells=cells_per_job(spec), command=shlex.join(command))
