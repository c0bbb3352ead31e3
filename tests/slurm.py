"""A SLURM cluster of one node, this machine: munged, slurmctld and slurmd of the tests' own.

The partition `wide` has a second node, which is never up; jobs of `urgent` preempt all others.
Its two GPUs are /dev/null and /dev/zero: SLURM hands them out and sets CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scancel", "scontrol")
_SECONDS = 60.0
_CONFIGURATION = """\
ClusterName=robustlr
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=20000 Gres=gpu:2
NodeName=elsewhere NodeAddr=127.0.0.1 Port={node_port} CPUs=8 State=DOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=urgent Nodes={host} PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP
PartitionName=wide Nodes={host},elsewhere MaxTime=INFINITE State=UP
"""


def why_no_cluster() -> str:
    """Why a cluster cannot be started here, or nothing."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"SLURM is not installed (Debian: slurm-wlm munge): no {', '.join(missing)}"
    if os.geteuid() != 0:
        return "slurmd needs root"
    return ""


@contextmanager
def cluster() -> Iterator[Path]:
    """Start the cluster; its slurm.conf, which SLURM_CONF must name. Ends it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="robustlr-slurm-"))  # sockets want a short path
    folder.chmod(0o755)
    configuration = folder / "slurm.conf"
    controller_port, node_port = _free_ports(2)
    configuration.write_text(
        _CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            folder=folder,
            controller_port=controller_port,
            node_port=node_port,
        )
    )
    (folder / "gres.conf").write_text("AutoDetect=off\nName=gpu File=/dev/null,/dev/zero\n")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    munge = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    places = [f"--{option}={folder}/munge.{name}" for option, name in munge.items()]
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    try:
        _run(["munged", *places, f"--seed-file={folder}/munge.seed"], environment)
        _run(["slurmctld"], environment)
        _run(["slurmd"], environment)
        _wait_for_the_node(environment)
        yield configuration
    finally:
        _end(folder, environment)
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
    return done.stdout


def _wait_for_the_node(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _SECONDS
    state = ""
    while time.monotonic() < deadline:
        sinfo = ["sinfo", "--noheader", "--partition=test", "--format=%T"]
        done = subprocess.run(sinfo, env=environment, capture_output=True, text=True)
        state = done.stdout.strip() or done.stderr.strip()
        if state == "idle":
            return
        time.sleep(0.2)
    raise TimeoutError(f"the node is not idle after {_SECONDS:g} s: {state}")


def _end(folder: Path, environment: dict[str, str]) -> None:
    """End the jobs, then the daemons; their state is thrown away, so they need not tidy up."""
    with suppress(OSError, subprocess.SubprocessError, AssertionError):
        _run(["scancel", "--user=root", "--signal=KILL", "--full"], environment)
        deadline = time.monotonic() + 10
        while _run(["squeue", "--noheader"], environment) and time.monotonic() < deadline:
            time.sleep(0.2)
    for name in ("slurmd", "slurmctld", "munge"):
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            psutil.Process(int((folder / f"{name}.pid").read_text())).kill()
