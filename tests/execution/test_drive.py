"""A study on this machine: workers come, die and are replaced; the table stays the same."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from robustlr.errors import RobustlrError, StudyConflictError
from robustlr.execution import Drive, Snapshot
from robustlr.records import RunPaths, RunStatus, load_results
from robustlr.specs import StudySpec
from robustlr.study import Vigil, hold, living_workers, plan, prepare
from tests.small_study import small_spec

pytestmark = pytest.mark.slow


def nothing(_: Snapshot) -> None:
    pass


def drive(
    spec: StudySpec,
    paths: RunPaths,
    on_progress: Callable[[Snapshot], None] = nothing,
    workers: int = 2,
    **options: Any,
) -> None:
    Drive(spec=spec, paths=paths, workers=workers, **options).run(on_progress)


def table(paths: RunPaths, spec: StudySpec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Everything that a result holds but the time it took."""
    results = load_results(paths, spec)
    assert results.missing == results.failed == ()
    return results.runs.drop("wall_seconds"), results.curves.drop("wall_seconds")


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def test_all_cells_run_once_and_progress_ends_at_the_total(paths: RunPaths) -> None:
    snapshots: list[Snapshot] = []
    drive(small_spec(), paths, snapshots.append)
    assert len(plan(small_spec(), paths).done) == 8
    last = snapshots[-1]
    assert (last.total, last.finished, last.finished_before, last.failed) == (8, 8, 0, 0)
    runs = load_results(paths, small_spec()).runs
    assert last.best_value == runs["valid_loss"].min()
    assert living_workers(paths) == []
    stamps = {path.name: path.stat().st_mtime_ns for path in paths.cells.iterdir()}
    drive(small_spec(), paths, snapshots.append)
    assert snapshots[-1].finished_before == 8
    assert stamps == {path.name: path.stat().st_mtime_ns for path in paths.cells.iterdir()}


def test_killed_workers_are_replaced_and_the_table_is_the_same(
    paths: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # looked at often, a fast machine too has cells left to be killed in
    monkeypatch.setattr("robustlr.execution.drive._POLL_SECONDS", 0.02)
    spec = small_spec(seeds=6, num_steps=400, execution={"max_retries": 50})
    undisturbed = RunPaths(tmp_path / "undisturbed")
    drive(spec, undisturbed)
    killed = 0

    def kill_one(snapshot: Snapshot) -> None:
        nonlocal killed
        pids = [worker.process.pid for worker in disturbed._workers.values()]
        if snapshot.finished > 5 * killed and killed < 4 and pids:
            os.kill(pids[killed % len(pids)], signal.SIGKILL)
            killed += 1

    disturbed = Drive(spec=spec, paths=paths, workers=2)
    disturbed.run(kill_one)
    assert killed >= 3
    for mine, theirs in zip(table(paths, spec), table(undisturbed, spec), strict=True):
        assert mine.equals(theirs)


def test_a_cell_that_kills_its_workers_fails_and_the_others_go_on(
    paths: RunPaths, tmp_path: Path
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os\n"
        "from robustlr.workloads.logistic import Logistic\n"
        "def make():\n"
        "    return Deadly(dim=3, samples=60)\n"
        "class Deadly(Logistic):\n"
        "    def model(self, seed):\n"
        "        if seed == 1:\n"
        "            os.kill(os.getpid(), 9)\n"
        "        return super().model(seed)\n"
    )
    spec = small_spec(
        workload={"factory": "deadly:make"},
        grid={"low": 1, "high": 1},
        execution={"max_retries": 1},
    )
    snapshots: list[Snapshot] = []
    drive(spec, paths, snapshots.append, folders=(tmp_path,))
    after = plan(spec, paths)
    assert {record.cell.seed for record in after.done} == {0}
    assert {record.cell.seed for record in after.failed} == {1}
    assert {record.reason for record in after.failed} == {
        "its worker died (killed by signal 9), 2 times"
    }
    assert snapshots[-1].failed == 2


def test_what_the_user_wrote_wrong_stops_everything_in_one_line(paths: RunPaths) -> None:
    spec = small_spec(workload={"kind": "logistik"})
    with pytest.raises(RobustlrError, match="unknown workload 'logistik'; did you mean 'logistic'"):
        drive(spec, paths)
    assert living_workers(paths) == []
    assert not list(paths.cells.iterdir())


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (
            {"workload": {"factory": "tests.workloads.samples:raises"}},
            "'tests.workloads.samples:raises' raised RuntimeError: no network and no cache",
        ),
        (
            {"workload": {"factory": "tests.workloads.samples:GivesUp"}},
            "workload 'GivesUp' raised SystemExit: 0",
        ),
        ({"batch_size": 61}, "batch_size 61 is larger than the 60 training examples"),
    ],
    ids=["factory", "exit", "batch"],
)
def test_what_would_fail_every_cell_stops_everything_in_one_line(
    paths: RunPaths, edits: dict[str, Any], message: str
) -> None:
    with pytest.raises(RobustlrError, match=message) as caught:
        drive(small_spec(**edits), paths)
    assert caught.value.exit_code == 1
    assert not list(paths.cells.iterdir())


def test_two_runs_of_one_study_at_once(paths: RunPaths) -> None:
    paths.create()
    lock = hold(paths.run_lock)
    assert lock is not None
    with pytest.raises(StudyConflictError, match="another `study run` is at work"):
        drive(small_spec(), paths)
    lock.release()


def test_workers_that_die_before_any_cell_end_the_run(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    with pytest.raises(
        RobustlrError, match=r"3 workers in a row died \(killed by signal 11\) before"
    ):
        drive(small_spec(), paths, folders=(tmp_path,))


def test_interrupted_workers_do_not_outlive_the_drive(paths: RunPaths) -> None:
    def interrupt(snapshot: Snapshot) -> None:
        if snapshot.finished:
            raise KeyboardInterrupt

    spec = small_spec(seeds=20, num_steps=2000)
    with pytest.raises(KeyboardInterrupt):
        drive(spec, paths, interrupt)
    assert living_workers(paths) == []
    some = len(plan(spec, paths).done)
    assert 0 < some < 80


def test_workers_end_when_their_parent_is_killed(paths: RunPaths) -> None:
    program = (
        "from pathlib import Path\n"
        "from tests.execution.test_drive import drive, long_spec\n"
        "from robustlr.records import RunPaths\n"
        f"drive(long_spec(), RunPaths(Path({str(paths.root)!r})))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as parent:
        while not living_workers(paths) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert living_workers(paths)
        parent.kill()
    while living_workers(paths) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living_workers(paths) == []
    assert len(plan(long_spec(), paths).done) < 160


def long_spec() -> StudySpec:
    """160 cells that take far longer than it takes to kill them."""
    return small_spec(seeds=40, num_steps=2000)


def test_a_slot_that_is_free_is_filled_while_a_cell_waits(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def start(_: RunPaths, name: str, *__: Any) -> str:
        started.append(name)
        return name

    monkeypatch.setattr("robustlr.execution.process.WorkerProcess.start", start)
    driving = Drive(spec=small_spec(), paths=paths, workers=3)

    def newly_started(*, waiting: int, running: int) -> list[str]:
        before = len(started)
        driving._staff([{}] * 3, waiting, running)
        return started[before:]

    assert newly_started(waiting=9, running=0) == ["0", "1", "2"]
    del driving._workers[1]
    assert newly_started(waiting=0, running=2) == []
    assert newly_started(waiting=1, running=2) == ["1"]  # the others are busy, perhaps for hours
    assert newly_started(waiting=1, running=2) == []  # it has not taken the cell yet


@dataclass
class Ended:
    """A worker process that has ended."""

    worker: str
    status: int

    def ended(self) -> int:
        return self.status

    def last_words(self) -> str:
        return ""


@pytest.mark.parametrize("status", [-9, 0, 7])  # os._exit in somebody's model is no good end
def test_a_run_takes_cells_from_its_own_workers_alone(
    paths: RunPaths, database: str, status: int
) -> None:
    """Though a run on another machine gives its workers the same names, as hosts may have one."""
    spec = small_spec(execution={"storage": database})
    _, queue = prepare(spec, paths)
    driving = Drive(spec=spec, paths=paths, workers=1)
    cells = {cell.key: cell for cell in spec.cells()}
    vigil = Vigil(spec=spec, paths=paths, queue=queue, cells=cells)
    ours, theirs, former = (driving._life(0) for _ in range(3))
    held = {"ours": queue.claim(ours), "theirs": queue.claim(theirs), "former": queue.claim(former)}
    driving._workers[0] = Ended(ours, status)  # type: ignore[assignment]
    assert driving._held(queue) == [held["ours"]]
    driving._bury(queue, vigil)
    assert {name for name, claim in held.items() if claim not in queue.running()} == {"ours"}


def test_a_trial_left_over_from_a_finished_cell_is_only_ended(paths: RunPaths) -> None:
    spec = small_spec()
    _, queue = prepare(spec, paths)
    cell = next(spec.cells())
    assert queue.claim("0") is not None
    Vigil(spec=spec, paths=paths, queue=queue, cells={}).look()
    assert queue.running() == []
    assert cell.key not in queue.waiting()


def test_diverged_cells_are_results(paths: RunPaths, tmp_path: Path) -> None:
    (tmp_path / "exploding.py").write_text(
        "import torch\n"
        "from robustlr.workloads import TensorExamples, Workload\n"
        "class Exploding(Workload):\n"
        "    def model(self, seed):\n"
        "        return torch.nn.Linear(1, 1)\n"
        "    def examples(self, split, seed):\n"
        "        return TensorExamples(torch.ones(16, 1))\n"
        "    def loss(self, model, batch):\n"
        "        return model(batch[0]).square().mean() ** 2\n"
    )
    spec = small_spec(workload={"factory": "exploding:Exploding"}, grid={"low": 1e4, "high": 1e4})
    drive(spec, paths, folders=(tmp_path,))
    assert {record.status for record in plan(spec, paths).done} == {RunStatus.DIVERGED}


_MODEL = """\
import torch
from robustlr.workloads import TensorExamples, Workload


class Mine(Workload):
    def model(self, seed):
        return torch.nn.Linear(1, {width})

    def examples(self, split, seed):
        return TensorExamples(torch.ones(16, 1))

    def loss(self, model, batch):
        return model(batch[0]).square().mean()
"""


def test_results_of_other_code_are_not_added_to(paths: RunPaths, tmp_path: Path) -> None:
    """They would be another model's; whoever knows that the change alters nothing may say so."""
    file = tmp_path / f"model_{secrets.token_hex(4)}.py"
    file.write_text(_MODEL.format(width=1))
    workload = {"factory": f"{file.stem}:Mine"}
    narrow, wide = (small_spec(workload=workload, seeds=seeds) for seeds in (1, 2))
    drive(narrow, paths, folders=(tmp_path,))
    file.write_text(_MODEL.format(width=2))
    with pytest.raises(RobustlrError, match="say `study run --new-code`"):
        drive(wide, paths, folders=(tmp_path,))
    assert len(plan(wide, paths).done) == 4
    drive(wide, paths, folders=(tmp_path,), new_code=True)
    assert len(plan(wide, paths).done) == 8
    file.write_text(_MODEL.format(width=1))
    with pytest.raises(RobustlrError, match="--new-code"):  # the newest results count
        drive(small_spec(workload=workload, seeds=3), paths, folders=(tmp_path,))


def test_threads_are_those_of_the_spec(paths: RunPaths) -> None:
    drive(small_spec(seeds=1, execution={"threads_per_cell": 2}), paths, workers=1)
    threads = {record.provenance["threads"] for record in plan(small_spec(seeds=1), paths).done}
    assert threads == {"2"}
