"""What a study lacks is exactly what is run: no cell twice, none lost."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from robustlr.errors import StorageError, StudyConflictError
from robustlr.records import RunPaths, RunStatus, empty_curve, read_record, write_result
from robustlr.specs import Cell, StudySpec
from robustlr.study import Vigil, hold, plan, prepare, record_failure, work
from tests.small_study import record_of, result_files, runner, small_spec


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def run_all(spec: StudySpec, paths: RunPaths) -> list[Cell]:
    """Bring the queue in line and work it off; the cells that really ran."""
    ran: list[Cell] = []
    prepare(spec, paths)
    work(paths, "0", runner(ran.append))
    return ran


def test_a_new_study_lacks_everything_and_then_nothing(paths: RunPaths) -> None:
    spec = small_spec()
    assert len(plan(spec, paths).missing) == 8
    assert run_all(spec, paths) == list(spec.cells())
    after = plan(spec, paths)
    assert (len(after.done), after.to_run) == (8, ())
    assert run_all(spec, paths) == []


@pytest.mark.parametrize(
    ("edits", "new"),
    [
        ({"seeds": 3}, 4),
        ({"seeds": [1, 5]}, 4),
        ({"schedule": ["fixed", "cosine", "linear"]}, 4),
        ({"schedule": ["cosine"], "report": {"baseline": "cosine"}}, 0),
        ({"grid": {"low": 0.1, "high": 10.0, "points_per_decade": 1}}, 4),
        ({"grid": {"low": 0.1, "high": 1.0, "points_per_decade": 2}}, 4),
        ({"num_steps": [20, 30]}, 8),
        ({"execution": {"max_retries": 0}}, 0),
        ({"report": {"epsilon": 0.05}}, 0),
    ],
)
def test_an_edit_that_only_adds_runs_only_the_new_cells(
    paths: RunPaths, edits: dict[str, Any], new: int
) -> None:
    run_all(small_spec(), paths)
    old = result_files(paths)
    ran = run_all(small_spec(**edits), paths)
    assert len(ran) == new
    assert old <= result_files(paths)
    assert not {cell.key for cell in ran} & old


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"training": {"eval_every": 5}}, "training.eval_every: 25 -> 5"),
        ({"workload": {"kind": "logistic", "dim": 4, "samples": 60}}, r"dim: 3 -> 4"),
        ({"optimizer": {"kind": "sgd", "momentum": 0.9}}, r"momentum: 0.0 -> 0.9"),
        ({"num_steps": 30}, r"num_steps: \[20\] -> \[30\]"),
        ({"batch_size": 4}, r"batch_size: \[8\] -> \[4\]"),
    ],
)
def test_an_edit_that_changes_cells_is_refused_by_key(
    paths: RunPaths, edits: dict[str, Any], message: str
) -> None:
    run_all(small_spec(), paths)
    with pytest.raises(StudyConflictError, match=message) as info:
        plan(small_spec(**edits), paths)
    assert "another --out" in str(info.value)


def test_failed_cells_are_tried_again(paths: RunPaths) -> None:
    spec = small_spec()
    run_all(spec, paths)
    cell = next(spec.cells())
    paths.cell(cell.key).unlink()
    record_failure(paths, cell, "out of memory")
    assert [record.reason for record in plan(spec, paths).failed] == ["out of memory"]
    assert run_all(spec, paths) == [cell]
    assert plan(spec, paths).failed == ()


def test_a_damaged_result_is_put_aside_and_made_again(paths: RunPaths) -> None:
    spec = small_spec()
    run_all(spec, paths)
    cell = list(spec.cells())[3]
    file = paths.cell(cell.key)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert plan(spec, paths).damaged == (file,)
    assert run_all(spec, paths) == [cell]
    assert file.with_suffix(".damaged").exists()
    assert read_record(file) == record_of(cell)


def test_leftovers_of_killed_writers_are_removed(paths: RunPaths) -> None:
    run_all(small_spec(), paths)
    leftovers = [paths.cells / ".abc.parquet.123.tmp", paths.root / ".spec.json.123-ab.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
        an_hour_ago = leftover.stat().st_mtime - 3600.0
        os.utime(leftover, (an_hour_ago, an_hour_ago))
    prepare(small_spec(), paths)
    assert not any(leftover.exists() for leftover in leftovers)


def test_who_begins_at_the_same_moment_takes_nobodys_temporary_file(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several workers may begin a study at once; none of them has given a sign of life yet."""
    spec, replace = small_spec(), os.replace

    def after_another(source: Any, target: Any) -> None:
        monkeypatch.setattr(os, "replace", replace)
        prepare(spec, paths)
        replace(source, target)

    monkeypatch.setattr(os, "replace", after_another)
    prepare(spec, paths)
    assert os.replace is replace  # the other one came in between
    assert work(paths, "0", runner()) == 8


def test_a_result_under_the_name_of_another_cell_is_none(paths: RunPaths) -> None:
    spec = small_spec()
    run_all(spec, paths)
    first, second, *_ = spec.cells()
    shutil.copy(paths.cell(first.key), paths.cell(second.key))
    current = plan(spec, paths)
    assert (current.damaged, current.to_run) == ((paths.cell(second.key),), (second,))
    assert run_all(spec, paths) == [second]
    assert read_record(paths.cell(second.key)) == record_of(second)


def test_a_damaged_result_that_was_made_again_meanwhile_stays(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec()
    run_all(spec, paths)
    file = paths.cell(next(spec.cells()).key)
    whole = file.read_bytes()
    file.write_bytes(whole[:100])

    def made_again(*_: object) -> None:
        file.write_bytes(whole)

    monkeypatch.setattr(sys.modules["robustlr.study.plan"], "share_folder", made_again)
    _, queue = prepare(spec, paths)
    assert file.read_bytes() == whole
    assert queue.waiting() == set()


def test_who_is_refused_drops_no_cell_of_a_dead_worker(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, queue = prepare(small_spec(), paths)
    claim = queue.claim("gone")
    assert claim is not None

    def refuse(*_: object) -> None:
        raise StudyConflictError("another version")

    monkeypatch.setattr("robustlr.study.sharing.agree_on_version", refuse)
    with pytest.raises(StudyConflictError):
        prepare(small_spec(), paths)
    assert len(queue.waiting()) == 8
    attempts = {c.key: c.attempt for _ in range(8) if (c := queue.claim("0")) is not None}
    assert set(attempts.values()) == {1}


def test_a_result_whose_trial_was_never_told_is_not_run_again(paths: RunPaths) -> None:
    spec = small_spec()
    prepare(spec, paths)
    first = next(spec.cells())  # its worker died between writing and telling
    write_result(paths.cell(first.key), record_of(first), pl.DataFrame({"step": [1]}))
    ran: list[Cell] = []
    assert work(paths, "0", runner(ran.append)) == 8
    assert first not in ran
    assert len(ran) == 7


def test_a_lost_journal_costs_no_result(paths: RunPaths) -> None:
    spec = small_spec()
    run_all(spec, paths)
    paths.journal.unlink()
    assert run_all(spec, paths) == []
    assert run_all(small_spec(seeds=3), paths) == list(small_spec(seeds=3).cells())[8:]


def test_trials_of_dead_workers_wait_again(paths: RunPaths) -> None:
    spec = small_spec()
    _, queue = prepare(spec, paths)
    queue.claim("dead")
    queue.claim("dead")
    assert len(run_all(spec, paths)) == 8


def test_workers_of_another_run_are_waited_for(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["robustlr.study.plan"], "_ORPHAN_SECONDS", 0.2)
    paths.create()
    lock = hold(paths.worker_lock("7"))
    assert lock is not None
    with pytest.raises(StorageError, match=r"workers of another run .*\(7\)"):
        prepare(small_spec(), paths, workers=["6", "7"])
    prepare(small_spec(), paths, workers=["6"])
    lock.release()
    prepare(small_spec(), paths, workers=["7"])


def test_results_outside_the_spec_are_counted(paths: RunPaths) -> None:
    run_all(small_spec(), paths)
    assert plan(small_spec(seeds=1), paths).outside == 4


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another with --out"):
        prepare(small_spec(), RunPaths(tmp_path / "file" / "run"))


def test_diverged_is_done(paths: RunPaths) -> None:
    spec = small_spec()
    prepare(spec, paths)

    def diverge(cell: Cell) -> Any:
        return record_of(cell, RunStatus.DIVERGED), pl.DataFrame({"step": [1]})

    work(paths, "0", diverge)
    assert run_all(spec, paths) == []


def test_a_cell_that_fails_again_tells_why_it_failed_last(paths: RunPaths) -> None:
    spec = small_spec(execution={"max_retries": 0})
    cell = next(spec.cells())
    paths.create()
    record_failure(paths, cell, "of before")
    _, queue = prepare(spec, paths)
    claim = queue.claim("0")
    assert claim is not None
    vigil = Vigil(spec=spec, paths=paths, queue=queue, cells={cell.key: cell})
    vigil.take_back(claim, "its worker died")
    assert [record.reason for record in plan(spec, paths).failed] == ["its worker died, 1 times"]


def test_checkpoints_of_cells_that_are_done_are_cleared_away(paths: RunPaths) -> None:
    done, failed, missing, *_ = small_spec().cells()
    prepare(small_spec(), paths)
    write_result(paths.cell(done.key), record_of(done), empty_curve())
    for cell in (done, failed, missing):
        paths.checkpoint(cell.key).touch()
    record_failure(paths, failed, "raised")  # which clears up after itself
    prepare(small_spec(), paths)
    assert [path.stem for path in paths.checkpoints.iterdir()] == [missing.key]
