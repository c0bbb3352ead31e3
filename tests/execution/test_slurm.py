"""SLURM's commands as robustlr uses them, on a real cluster of one node."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from robustlr.errors import ClusterError
from robustlr.execution.slurm import cancel, hosts, is_this_machine, living, submit
from robustlr.execution.slurm_script import script
from robustlr.records import RunPaths
from tests.small_study import small_spec

HERE = socket.gethostname().partition(".")[0]


def written(folder: Path, jobs: int = 2, **slurm: object) -> Path:
    """The script of a study's jobs."""
    paths = RunPaths(folder / "a study's run")
    paths.cluster.mkdir(parents=True)
    file = paths.cluster / "workers.sh"
    file.write_text(script(small_spec(execution={"slurm": slurm}), paths, jobs))
    return file


def test_jobs_come_are_seen_and_are_cancelled(slurm: Path, tmp_path: Path) -> None:
    options = {"partition": "test", "time": 5, "cpus_per_worker": 3, "gpus_per_worker": 1}
    extra = {"mem": "10M", "comment": "two words"}
    array = submit(written(tmp_path, setup=["sleep 600"], extra=extra, **options))
    assert set(living([array])) == {f"{array}_0", f"{array}_1"}
    deadline = time.monotonic() + 60
    while set(living([array]).values()) != {"RUNNING"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert set(living(["999999", array]).values()) == {"RUNNING"}
    show = ["scontrol", "show", "job", f"{array}_0"]
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    for told in (
        "JobName=robustlr-small", "Partition=test", "TimeLimit=00:05:00", "NumCPUs=3",
        "TresPerNode=gres:gpu:1", "MinMemoryNode=10M", "Comment=two words", "Requeue=1",
        f"StdOut={tmp_path}/a study's run/cluster/{array}_0.log",
    ):  # fmt: skip
        assert told in shown
    cancel([array, "999999"])
    while living([array]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert living([array]) == {}
    assert living([]) == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"partition": "nope"}, "sbatch: invalid partition specified: nope; "),
        ({"time": "soon"}, "sbatch: Invalid --time specification"),
        ({"extra": {"colour": "red"}}, "sbatch: unrecognized option '--colour=red'"),
        ({"extra": {"gres": "gpi:1"}}, "sbatch: Invalid generic resource (gres) specification"),
        ({"extra": {"mem": "lots"}}, "sbatch: Invalid --mem specification"),
    ],
)
def test_what_sbatch_refuses_it_says_itself(
    slurm: Path, tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ClusterError) as raised:
        submit(written(tmp_path, **options))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_hosts_of_a_partition(slurm: Path) -> None:
    assert hosts() == hosts("test") == hosts(nodes=HERE) == {HERE}
    assert is_this_machine(f"{HERE}.cluster.example")
    assert not is_this_machine(f"{HERE}2")
    assert hosts("wide") == {HERE, "elsewhere"}
    assert hosts("wide", nodes=HERE) == {HERE}
    assert hosts("nope") == set()


def test_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch is not on this machine: --on slurm works on a"):
        submit(tmp_path / "script")


def test_a_controller_that_is_away(monkeypatch: pytest.MonkeyPatch, slurm: Path) -> None:
    configuration = slurm.with_name("away.conf")
    port = "SlurmctldPort="
    lines = slurm.read_text().splitlines()
    away = [f"{port}1" if port in line else line for line in lines]
    configuration.write_text("\n".join([*away, "MessageTimeout=2", ""]))
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    with pytest.raises(ClusterError, match=r"squeue: .*controller"):
        living(["1"])
