"""A study on a real SLURM cluster, as its user runs, watches and ends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from tests.small_study import write_study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]

SECONDS = 120.0
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


def test_detached_jobs_are_found_again(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=3, more=TWO_JOBS)
    code, _, told = finish(robustlr(tmp_path, "run", "small.toml", "--on", "slurm", "--detach"))
    assert code == 0, told
    assert "the jobs go on; watch them with `robustlr study status runs/small`" in told
    assert "robustlr study cancel runs/small" in told
    command = ["run", "small.toml", "--on", "slurm", "--no-report"]
    code, _, told = finish(robustlr(tmp_path, *command))
    assert code == 0, told
    scripts = list(RunPaths(tmp_path / "runs" / "small").cluster.glob("*_0.log"))
    assert len(scripts) == 1  # the array was not submitted twice
    assert len(table(study, "runs/small")) == 12


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ('[execution.slurm]\npartition = "nope"', "sbatch: invalid partition specified: nope; "),
        ("[execution.slurm.extra]\ncolour = 1", "sbatch: unrecognized option '--colour=1'"),
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
