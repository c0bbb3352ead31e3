"""Slots on this machine: how many workers there is room for, and which devices each may see."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

from robustlr.specs import StudySpec


def default_workers(spec: StudySpec) -> int:
    """One per visible GPU, or the cores this process may use divided by a cell's threads."""
    gpus = len(visible_gpus())
    slots = gpus or _cores() // spec.execution.threads_per_cell
    return max(1, slots // spec.training.processes_per_cell)


def slot_environments(spec: StudySpec, workers: int) -> Iterator[dict[str, str]]:
    """The environment variables of each of `workers` slots, endlessly repeated over the GPUs."""
    gpus = visible_gpus()
    share = spec.training.processes_per_cell
    threads = {"OMP_NUM_THREADS": str(spec.execution.threads_per_cell)}
    for slot in range(workers):
        if not gpus:
            yield threads
            continue
        mine = [gpus[(slot * share + rank) % len(gpus)] for rank in range(min(share, len(gpus)))]
        yield {**threads, "CUDA_VISIBLE_DEVICES": ",".join(mine)}


def visible_gpus() -> list[str]:
    """Names of the GPUs this process may use, as CUDA_VISIBLE_DEVICES spells them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    try:  # torch would tell too, and take seconds
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(index) for index in range(len(listed.stdout.strip().splitlines()))]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
