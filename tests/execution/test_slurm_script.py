"""The script of a job as bash runs it, without a cluster: real workers, real signals.

`scontrol` alone is a stand-in, which notes what it is asked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from robustlr.execution.slurm_script import script
from robustlr.records import RunPaths
from robustlr.specs import SlurmSpec, StudySpec, load_study
from robustlr.study import open_queue, plan, prepare
from tests.cli.workers import SECONDS, wait_until
from tests.slowly import write_slow_study

pytestmark = pytest.mark.slow


@dataclass
class Job:
    """One job of an array, life after life."""

    folder: Path
    spec: StudySpec
    slow: Path
    paths: RunPaths

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def requeued(self) -> str:
        """What scontrol was asked."""
        asked = self.folder / "asked"
        return asked.read_text() if asked.exists() else ""

    @contextmanager
    def life(self, *, restarts: int = 0, setup: tuple[str, ...] = ()) -> Iterator[subprocess.Popen]:  # type: ignore[type-arg]
        """The job as it runs; waited for in the end."""
        slurm = SlurmSpec(setup=setup)
        spec = replace(self.spec, execution=replace(self.spec.execution, slurm=slurm))
        file = self.folder / "workers.sh"
        file.write_text(script(spec, self.paths, 1, [self.folder]))
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SLURM_ARRAY_JOB_ID": "7",
            "SLURM_ARRAY_TASK_ID": "3",
            "SLURM_RESTART_COUNT": str(restarts),
        }
        with (
            open(self.folder / "log", "ab") as log,
            subprocess.Popen(
                ["bash", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment,
            ) as process,
        ):  # fmt: skip
            try:
                yield process
                process.wait(SECONDS)
            finally:
                process.kill()

    def works(self) -> bool:
        return bool(open_queue(self.spec, self.paths).running())


@pytest.fixture
def job(tmp_path: Path) -> Job:
    tool = tmp_path / "bin" / "scontrol"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\n')
    tool.chmod(0o755)
    study, slow = write_slow_study(tmp_path, num_steps=400)
    spec, paths = load_study(study), RunPaths(tmp_path / "run")
    prepare(spec, paths)
    return Job(tmp_path, spec, slow, paths)


def test_near_the_time_limit_the_cell_is_put_aside_and_the_job_queued_again(job: Job) -> None:
    with job.life() as process:
        wait_until(job.works)
        process.send_signal(signal.SIGUSR1)
    assert process.returncode == 0
    assert job.requeued == "requeue 7_3\n"
    assert len(open_queue(job.spec, job.paths).waiting()) == 8
    aside = job.log.count("stopped after update")
    job.slow.unlink()
    with job.life(restarts=1) as process:
        pass
    assert process.returncode == 0
    assert len(plan(job.spec, job.paths).done) == 8
    assert job.log.count("goes on from update") == aside == 1
    assert job.requeued == "requeue 7_3\n"


def test_preempted_it_leaves_the_queueing_to_slurm(job: Job) -> None:
    with job.life() as process:
        wait_until(job.works)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert job.requeued == ""
    assert job.log.count("stopped after update") == 1


def test_told_before_its_worker_it_starts_none(job: Job) -> None:
    began = job.folder / "began"
    with job.life(setup=(f"touch {began}", "sleep 1")) as process:
        wait_until(began.exists)
        process.send_signal(signal.SIGUSR1)
    assert process.returncode == 0
    assert job.requeued == "requeue 7_3\n"
    assert "takes cells" not in job.log


def test_a_worker_that_cannot_go_on_is_the_job_s_status(job: Job) -> None:
    (job.folder / "slowly.py").write_text("raise RuntimeError('no such luck')\n")
    with job.life() as process:
        pass
    assert process.returncode == 1
    assert job.log.splitlines()[-1].startswith("robustlr: ")
    assert "no such luck" in job.log.splitlines()[-1]
