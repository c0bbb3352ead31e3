"""A study on a real SLURM cluster, as its user runs, watches and ends it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from robustlr.execution.cluster import submitted
from robustlr.execution.slurm import living
from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from robustlr.study import Watch
from tests.postgres import Server
from tests.slowly import write_slow_study
from tests.small_study import write_study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]

SECONDS = 180.0
TWO_JOBS = "[execution.slurm]\nworkers = 2\n"


def robustlr(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`robustlr study ARGUMENTS` in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "robustlr_cli.app", "study", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and what it told beside it, without a traceback."""
    out, told = process.communicate(timeout=SECONDS)
    assert "Traceback" not in told
    return process.returncode, out, told


def run_here(study: Path) -> pl.DataFrame:
    """The table of the study on this machine, undisturbed."""
    command = ["run", study.name, "--workers", "1", "--no-report", "--out", "undisturbed"]
    assert finish(robustlr(study.parent, *command))[0] == 0
    return table(study, "undisturbed")


def status(folder: Path) -> Any:
    _, out, _ = finish(robustlr(folder, "status", "runs/small", "--json"))
    return json.loads(out)


def logs(paths: RunPaths) -> str:
    return "".join(log.read_text() for log in paths.cluster.glob("*.log"))


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def table(study: Path, run: str) -> pl.DataFrame:
    results = load_results(RunPaths(study.parent / run), load_study(study))
    assert not results.missing
    return results.runs.drop("wall_seconds")


def test_a_study_to_its_report(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=3, more=TWO_JOBS)
    code, out, told = finish(robustlr(tmp_path, "run", "small.toml", "--on", "slurm"))
    assert code == 0, told
    assert (tmp_path / out.strip()).is_file()
    assert "12 cells completed, 0 diverged" in told
    paths = RunPaths(tmp_path / "runs" / "small")
    assert len(list(paths.cluster.glob("*_[01].log"))) == 2
    assert not paths.jobs.exists()
    assert table(study, "runs/small").equals(run_here(study))


def test_preemption_and_cancel_change_no_number(tmp_path: Path) -> None:
    study, slow = write_slow_study(tmp_path, num_steps=400, more=TWO_JOBS)
    paths = RunPaths(tmp_path / "runs" / "small")
    command = ["run", "small.toml", "--on", "slurm", "--no-report"]
    with robustlr(tmp_path, *command) as run:
        watch = Watch(load_study(study), paths)
        wait_until(lambda: watch.look().running == 2)
        assert status(tmp_path)["jobs"] == "2 running"
        (array,) = submitted(paths)
        urgent = ["--partition=urgent", "--cpus-per-task=8", "--output=/dev/null", "--wrap=sleep 1"]
        subprocess.run(["sbatch", *urgent], check=True, stdout=subprocess.DEVNULL)
        wait_until(lambda: logs(paths).count("takes cells") == 4)
        wait_until(lambda: watch.look().running == 2)

        _, _, told = finish(robustlr(tmp_path, "cancel", "small"))
        assert told == "small: ended 2 × job, 1 × run here, 2 × worker here\n"
        assert finish(run)[0] == 130
    wait_until(lambda: living([array]) == {})
    left = status(tmp_path)
    assert (left["running"], left["failed"], left.get("jobs")) == (0, 0, None)
    assert 0 < left["waiting"] == left["missing"]

    slow.unlink()
    assert finish(robustlr(tmp_path, *command))[0] == 0
    put_aside = logs(paths).count("stopped after update")
    assert logs(paths).count("goes on from update") == put_aside > 2
    assert table(study, "runs/small").equals(run_here(study))


def test_a_time_limit_changes_no_number(tmp_path: Path) -> None:
    # of one minute: SLURM gives the signal when it looks next, which it does twice a minute
    limit = "[execution.slurm]\ntime = 1\ngrace_seconds = 45"
    study, slow = write_slow_study(tmp_path, num_steps=600, more=limit)
    paths = RunPaths(tmp_path / "runs" / "small")
    with robustlr(tmp_path, "run", "small.toml", "--on", "slurm", "--no-report") as run:
        wait_until(lambda: "stopped after update" in logs(paths))
        slow.unlink()
        code, _, told = finish(run)
    assert code == 0, told
    put_aside = logs(paths).count("stopped after update")
    assert logs(paths).count("goes on from update") == put_aside > 0
    assert logs(paths).count("takes cells") > 1
    assert table(study, "runs/small").equals(run_here(study))


def test_detached_jobs_on_a_database_are_found_again(
    tmp_path: Path, postgres: Server, database: str
) -> None:
    study, slow = write_slow_study(tmp_path, more=TWO_JOBS)
    command = ["run", "small.toml", "--on", "slurm", "--storage", database]
    code, _, told = finish(robustlr(tmp_path, *command, "--detach"))
    assert code == 0, told
    assert "the jobs go on; watch them with `robustlr study status runs/small`" in told
    assert "robustlr study cancel runs/small" in told
    (array,) = submitted(RunPaths(tmp_path / "runs" / "small"))
    slow.unlink()
    code, _, told = finish(robustlr(tmp_path, *command, "--no-report"))
    assert code == 0, told
    assert {
        log.name.partition("_")[0] for log in (tmp_path / "runs/small/cluster").glob("*.log")
    } == {array}
    assert len(table(study, "runs/small")) == 8
    for file in (tmp_path / "runs").rglob("*"):
        assert not file.is_file() or postgres.password.encode() not in file.read_bytes(), file


def test_groups_have_their_gpus_on_one_node(tmp_path: Path) -> None:
    (tmp_path / "seeing.py").write_text(SEEING.format(folder=str(tmp_path / "seen")))
    more = (
        "processes_per_cell = 2\n[execution]\ncells_per_gpu = 2\n"
        "[execution.slurm]\ngpus_per_worker = 2"
    )
    workload = 'factory = "seeing:make"'
    study = write_study(tmp_path, seeds=1, high=0.1, workload=workload, more=more)
    code, _, told = finish(robustlr(tmp_path, "run", "small.toml", "--on", "slurm", "--no-report"))
    assert code == 0, told
    assert len(table(study, "runs/small")) == 2
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {"0 of 0,1", "1 of 0,1"}


SEEING = """\
import os
from pathlib import Path
from robustlr.workloads.logistic import Logistic

class Seeing(Logistic):
    def model(self, seed):
        seen, rank = Path({folder!r}), os.environ.get("LOCAL_RANK")
        seen.mkdir(exist_ok=True)
        if rank is not None:  # the rehearsal before the first cell is no rank
            (seen / f"{{rank}} of {{os.environ['CUDA_VISIBLE_DEVICES']}}").touch()
        return super().model(seed)

def make():
    return Seeing(dim=3, samples=60)
"""


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ('[execution.slurm]\npartition = "nope"', "sbatch: invalid partition specified: nope; "),
        ("[execution.slurm.extra]\ncolour = 1", "sbatch: unrecognized option '--colour=1'"),
        ('[execution.slurm]\npartition = "wide"', "the jobs may run on elsewhere, and a journal"),
        ("[execution.slurm]\npartitions = 1", "execution.slurm.partitions: unknown key"),
    ],
)
def test_what_cannot_be_submitted_is_one_line(tmp_path: Path, more: str, line: str) -> None:
    write_study(tmp_path, more=more)
    code, _, told = finish(robustlr(tmp_path, "run", "small.toml", "--on", "slurm"))
    assert code == 1
    assert line in told.splitlines()[-1]


def test_what_a_worker_cannot_do_is_told_here(tmp_path: Path) -> None:
    write_study(tmp_path, workload='kind = "logistik"')
    code, _, told = finish(robustlr(tmp_path, "run", "small.toml", "--on", "slurm"))
    assert code == 1
    last = told.splitlines()[-1]
    assert last.startswith("robustlr: ")
    assert "unknown workload 'logistik'; did you mean 'logistic'" in last
