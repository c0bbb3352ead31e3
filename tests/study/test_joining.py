"""A worker joins a study as it is, in the one queue that the study has."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psycopg
import pytest

import robustlr
from robustlr.errors import StorageError, StudyConflictError
from robustlr.records import RunPaths, read_record, read_spec
from robustlr.specs import StudySpec, without_password
from robustlr.study import (
    RunCell,
    Sign,
    agree_on_code,
    agree_on_version,
    hold,
    join,
    open_queue,
    plan,
    prepare,
    record_failure,
    with_storage,
    work,
)
from robustlr.study.queue import CellQueue
from tests.postgres import Server
from tests.small_study import record_of, runner, small_spec


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


@pytest.fixture
def run_cell() -> RunCell:
    run: RunCell = runner()
    return run


@pytest.fixture
def other(postgres: Server, database: str) -> str:
    """A further database."""
    return postgres.new_database(f"{database.rpartition('/')[2]}_other")


def on(storage: str) -> StudySpec:
    return small_spec(execution={"storage": storage})


def appear(queue: CellQueue) -> None:
    queue.beat(Sign("far#1", "elsewhere", 0, 0.0, "another boot"))


def test_a_study_at_work_on_its_journal_is_not_joined_in_a_database(
    paths: RunPaths, database: str
) -> None:
    prepare(on(""), paths)
    for file in (paths.worker_lock("0"), paths.run_lock):
        lock = hold(file)
        assert lock is not None
        with pytest.raises(StudyConflictError, match="whose queue is a journal in its folder, and"):
            join(on(database), paths)
        lock.release()
    lock = hold(paths.worker_lock("0"))
    with pytest.raises(StudyConflictError, match="name the same storage, or wait"):
        prepare(on(database), paths)
    assert lock is not None
    lock.release()
    prepare(on(database), paths)
    assert read_spec(paths).execution.storage == without_password(database)


def test_a_study_at_work_in_a_database_is_begun_in_no_other(
    paths: RunPaths, database: str, other: str
) -> None:
    _, queue = prepare(on(database), paths)
    appear(queue)
    for begin in (join, prepare):
        with pytest.raises(StudyConflictError) as info:
            begin(on(other), paths)
        said = str(info.value)
        assert f"queue is {without_password(database)}, and not {without_password(other)}" in said
    queue.forget("far#1")
    join(on(other), paths)
    assert read_spec(paths).execution.storage == without_password(other)


def test_a_run_that_forgot_the_password_cannot_tell_and_is_refused(
    paths: RunPaths, database: str
) -> None:
    prepare(on(database), paths)
    with pytest.raises(StudyConflictError, match=r"cannot be told .*remove spec.json from"):
        prepare(on(""), paths)
    assert not paths.journal.exists()


def test_one_database_may_have_two_addresses(paths: RunPaths, database: str) -> None:
    _, queue = prepare(on(database), paths)
    appear(queue)
    join(on(database.replace("127.0.0.1", "localhost")), paths)
    assert read_spec(paths).execution.storage == without_password(database)


def test_a_worker_without_a_storage_takes_the_folder_s(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, queue = prepare(on(database), paths)
    claim = queue.claim("far#1")
    monkeypatch.setenv("PGPASSWORD", database.split(":")[2].partition("@")[0])
    join(on(""), paths)
    assert not paths.journal.exists()
    assert claim is not None
    assert len(queue.waiting()) == 7


def test_a_study_whose_storage_is_away_for_a_moment_is_waited_for(
    paths: RunPaths, postgres: Server, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(on(database), paths)
    postgres.stop()
    try:
        starting = threading.Thread(target=join, args=(on(database), paths))
        starting.start()
        while "is tried again" not in caplog.text and starting.is_alive():
            time.sleep(0.05)
    finally:
        postgres.start()
    starting.join()
    assert "answers again" in caplog.text


@pytest.mark.parametrize("shared", [False, True])
def test_a_damaged_result_is_made_again(
    paths: RunPaths, database: str, run_cell: RunCell, shared: bool
) -> None:
    spec = on(database if shared else "")
    prepare(spec, paths)
    work(paths, "0", run_cell, storage=spec.execution.storage)
    cell = next(spec.cells())
    file = paths.cell(cell.key)
    file.write_bytes(file.read_bytes()[:100])
    join(spec, paths)
    assert work(paths, "0", run_cell, storage=spec.execution.storage) == 1
    assert read_record(file) == record_of(cell)


def test_failed_cells_are_tried_again_by_the_first_to_come_alone(
    paths: RunPaths, database: str, run_cell: RunCell
) -> None:
    spec = on(database)
    _, queue = prepare(spec, paths)
    work(paths, "0", run_cell, storage=database)
    failed = next(spec.cells())
    paths.cell(failed.key).unlink()
    record_failure(paths, failed, "raised")
    appear(queue)
    join(spec, paths)
    assert queue.waiting() == set()
    queue.forget("far#1")
    join(spec, paths)
    assert queue.waiting() == {failed.key}
    assert len(plan(spec, paths).failed) == 1


def test_what_was_agreed_while_a_worker_started_is_agreed_again_before_it_takes_a_cell(
    paths: RunPaths, database: str, run_cell: RunCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with another version or other code begins while the worker imports its packages."""
    spec = on(database)

    def agree(queue: CellQueue) -> None:
        agree_on_version(spec, queue)
        agree_on_code(queue, "logistic", "code")

    for theirs, name in (("0.0.1", "run robustlr 0.0.1"), (robustlr.__version__, "the code of")):
        join(spec, paths)
        with monkeypatch.context() as patch:
            patch.setattr(robustlr, "__version__", theirs)
            _, queue = prepare(spec, paths)
            agree_on_code(queue, "logistic", "other code")
        with pytest.raises(StudyConflictError, match=name):
            work(paths, "slow#1", run_cell, storage=database, agree=agree)
        assert queue.signs() == []
        assert len(queue.waiting()) == 8
        with psycopg.connect(database) as connection:
            connection.execute("DELETE FROM study_user_attributes WHERE key LIKE 'code %'")


@pytest.mark.parametrize("shared", [False, True])
def test_what_somebody_alive_agreed_on_is_not_forgotten(
    paths: RunPaths, database: str, shared: bool
) -> None:
    spec = on(database if shared else "")
    _, queue = prepare(spec, paths)
    agree_on_code(queue, "logistic", "code")
    lock = hold(paths.worker_lock("0"))
    assert lock is not None
    appear(queue)
    prepare(spec, paths)
    open_queue(spec, paths).forget_agreements("code ", unless_alive=60.0)
    assert queue.agree("code workload logistic", "other") == "code"
    lock.release()
    queue.forget("far#1")
    prepare(with_storage(spec), paths)
    assert queue.agree("code workload logistic", "other") == "other"


def test_a_worker_that_begins_alone_need_not_agree_with_who_has_ended(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = on(database)
    join(spec, paths)
    monkeypatch.setattr(robustlr, "__version__", "99")
    join(spec, paths)
    queue = open_queue(spec, paths)
    appear(queue)
    monkeypatch.setattr(robustlr, "__version__", "100")
    with pytest.raises(StudyConflictError, match="run robustlr 99"):
        join(spec, paths)


def test_half_a_token_is_in_nobodys_way(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    paths.create()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            join(on(database), paths)
    join(on(database), paths)
