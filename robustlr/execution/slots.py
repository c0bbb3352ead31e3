"""Slots on this machine: how many workers there is room for, and which devices each may see.

A slot is one GPU, or the g GPUs of a cell that g processes train together; small models share
one: k slots see the same GPUs where `cells_per_gpu` is k. Without GPUs a slot is a cell's CPU
threads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from robustlr.errors import SpecError
from robustlr.specs import StudySpec


def default_workers(spec: StudySpec) -> int:
    """As many as there are slots. Raises SpecError where not one cell has its GPUs here."""
    gpus, share = visible_gpus(), spec.training.processes_per_cell
    if gpus:
        return len(_groups(gpus, share)) * spec.execution.cells_per_gpu
    return max(1, _cores() // (spec.execution.threads_per_cell * share))


def slot_environments(spec: StudySpec, workers: int) -> list[dict[str, str]]:
    """The environment variables of each of `workers` slots, spread evenly over the GPUs.

    Raises SpecError where there are fewer GPUs than that many workers ask for.
    """
    gpus, share = visible_gpus(), spec.training.processes_per_cell
    threads = {"OMP_NUM_THREADS": str(spec.execution.threads_per_cell)}
    if not gpus:
        return [threads] * workers
    groups, packed = _groups(gpus, share), spec.execution.cells_per_gpu
    if workers > len(groups) * packed:
        raise SpecError(
            f"{workers} workers ask for more GPUs than the {len(gpus)} visible here "
            f"({', '.join(gpus)}), which have room for {len(groups) * packed}: ask for fewer "
            f"workers, or raise --cells-per-gpu, now {packed}"
        )
    return [
        {**threads, "CUDA_VISIBLE_DEVICES": ",".join(groups[slot % len(groups)])}
        for slot in range(workers)
    ]


def require_gpus(spec: StudySpec) -> None:
    """Raises SpecError where this process sees GPUs, and fewer than a cell asks for."""
    if gpus := visible_gpus():
        _groups(gpus, spec.training.processes_per_cell)


def visible_gpus() -> list[str]:
    """Names of the GPUs this process may use, as CUDA_VISIBLE_DEVICES spells them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return [name for name in names if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    try:  # torch would tell too, and take seconds
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return _listed(listed.stdout)


def _listed(text: str) -> list[str]:
    """The devices in what `nvidia-smi --list-gpus` prints; a GPU in parts (MIG) is its parts.

    >>> _listed('''GPU 0: NVIDIA A100 (UUID: GPU-5d5b)
    ... GPU 1: NVIDIA A100 (UUID: GPU-77aa)
    ...   MIG 1g.5gb      Device  0: (UUID: MIG-c6d4)
    ...   MIG 1g.5gb      Device  1: (UUID: MIG-cba6)''')
    ['0', 'MIG-c6d4', 'MIG-cba6']
    """
    devices: list[str] = []
    for line in text.splitlines():
        if gpu := re.match(r"GPU (\d+):", line):
            devices.append(gpu[1])
        elif part := re.match(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)", line):
            if devices[-1:] and devices[-1].isdigit():  # the first part of this GPU
                devices.pop()
            devices.append(part[1])
    return devices


def _groups(gpus: list[str], share: int) -> list[list[str]]:
    """The GPUs in groups of `share`; those that are left over stay idle."""
    if len(gpus) < share:
        raise SpecError(
            f"a cell asks for {share} GPUs (training.processes_per_cell), and {len(gpus)} can be "
            f"used here ({', '.join(gpus)}); set CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    return [gpus[start : start + share] for start in range(0, len(gpus) - share + 1, share)]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
