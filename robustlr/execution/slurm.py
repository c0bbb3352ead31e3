"""The door to SLURM: its own commands, asked for what every version of them prints.

submitit would submit too, but it hands the work over as a pickle, which every node would load
from the shared folder; it swallows the SIGTERM that makes a worker put its cell aside; and it
needs a cluster with accounting (sacct). A worker needs no function to be carried: its job is one
command.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from robustlr.errors import ClusterError, one_line

_SECONDS = 120.0  # what a busy controller may take to answer
_GONE = "Invalid job id specified"


def submit(script: Path, environment: Mapping[str, str] | None = None) -> str:
    """The id of the job array that sbatch makes of `script`.

    environment: for the jobs, beside our own; sbatch carries it on, and no file holds it. Ctrl-C
    does not reach it: jobs that it has handed over would be nobody's. Raises ClusterError with
    sbatch's own sentence where it refuses.
    """
    said = _asked(["sbatch", "--parsable", str(script)], environment or {}, detached=True)
    return said.strip().partition(";")[0]  # "id;cluster" where there are several clusters


def living(arrays: Iterable[str]) -> dict[str, str]:
    """Job → state ("RUNNING", "PENDING", ...) of the arrays' jobs that have not ended.

    Raises ClusterError where SLURM does not answer.
    """
    states: dict[str, str] = {}
    for array in arrays:  # one by one: SLURM forgets ended ones, and then refuses a whole list
        try:
            listed = _asked(
                ["squeue", "--noheader", "--array", "--format=%i %T", f"--jobs={array}"]
            )
        except ClusterError as error:
            if _GONE not in str(error):
                raise
            continue
        states |= dict(line.split() for line in listed.splitlines())
    return states


def cancel(arrays: Sequence[str], *, waiting_only: bool = False) -> None:
    """End the arrays' jobs; ended ones do not matter. Raises ClusterError.

    waiting_only: leave those that run.
    """
    if arrays:
        only = ["--state=PENDING"] if waiting_only else []
        _asked(["scancel", *only, *arrays])


def hosts(partition: str = "", nodes: str = "") -> set[str]:
    """The hosts of a partition, the default one unless named, or those of them in `nodes`.

    Raises ClusterError.
    """
    wanted = [f"--partition={partition}"] if partition else []
    wanted += [f"--nodes={nodes}"] if nodes else []
    listed = _asked(["sinfo", "--noheader", "--Node", "--format=%n %P", *wanted])
    rows = [line.split() for line in listed.splitlines()]
    return {host for host, name in rows if partition or name.endswith("*")}


def is_this_machine(host: str) -> bool:
    """Whether SLURM means this machine by `host`; either may carry a domain."""
    return host.partition(".")[0] == socket.gethostname().partition(".")[0]


def _asked(
    command: list[str],
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    detached: bool = False,
) -> str:
    """What a command of SLURM prints. Raises ClusterError with what it complains of.

    detached: in a session of its own.
    """
    program = command[0]
    if shutil.which(program) is None:
        raise ClusterError(
            f"{program} is not on this machine: --on slurm works on a login node of the cluster"
        )
    try:
        done = subprocess.run(
            command,
            env={**_environment(), **environment},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            start_new_session=detached,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{program} gave no answer in {_SECONDS:g} s") from error
    if done.returncode != 0:
        raise ClusterError(f"{program}: {_complaint(done.stderr)}")
    return done.stdout


def _complaint(text: str) -> str:
    """SLURM's own words, on one line.

    >>> _complaint("sbatch: error: invalid partition specified: x\\nsbatch: error: Batch job "
    ...            "submission failed: Invalid partition name specified\\n")
    'invalid partition specified: x; Batch job submission failed: Invalid partition name specified'
    """
    lines = (re.sub(r"^\w+: ((error|fatal): )?", "", line) for line in text.splitlines())
    return one_line("; ".join(filter(None, lines))) or "failed and said nothing"


def _environment() -> dict[str, str]:
    """Ours, without what a job that we may be in says about itself: sbatch would take it over."""
    if "SLURM_JOB_ID" not in os.environ:
        return dict(os.environ)
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SLURMD_", "SRUN_", "SBATCH_"))
    }
