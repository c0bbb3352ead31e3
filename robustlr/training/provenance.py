"""Where and with what a result was made."""

from __future__ import annotations

import platform
import subprocess
from functools import cache

import torch

import robustlr
from robustlr.versions import installed_versions

_PACKAGES = ("torch", "accelerate", "numpy", "pytorch_optimizer")


@cache
def provenance(device: str) -> dict[str, str]:
    """Versions, device and the git commit of the current folder; read once per process."""
    facts = {"robustlr": robustlr.__version__, "python": platform.python_version()}
    facts.update(installed_versions(*_PACKAGES))
    facts["platform"] = platform.platform()
    facts["device"] = (
        torch.cuda.get_device_name() if device.startswith("cuda") else _processor_name()
    )
    facts["threads"] = str(torch.get_num_threads())
    facts["git_commit"] = _git_commit()
    return facts


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _git_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
