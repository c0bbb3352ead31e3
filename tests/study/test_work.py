"""A worker survives what a cell does to it, and stops where going on would lose results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from robustlr.errors import SpecError, StorageError
from robustlr.records import RunPaths
from robustlr.specs import Cell
from robustlr.study import Claim, open_queue, plan, prepare, work
from robustlr.study.queue import CellQueue
from tests.small_study import runner, small_spec


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "run")
    prepare(small_spec(), paths)
    return paths


def test_a_cell_that_raises_fails_alone_and_leaves_its_traceback(paths: RunPaths) -> None:
    bad = list(small_spec().cells())[2]

    def explode(cell: Cell) -> None:
        if cell == bad:
            raise ZeroDivisionError("my\nloss")

    assert work(paths, "0", runner(explode)) == 8
    after = plan(small_spec(), paths)
    assert len(after.done) == 7
    assert [record.cell for record in after.failed] == [bad]
    assert after.failed[0].reason == "ZeroDivisionError('my\\nloss')"
    log = paths.cell_log(bad.key).read_text()
    assert "Traceback" in log
    assert "in explode" in log


def test_a_cell_that_exits_fails_alone(paths: RunPaths) -> None:
    def leave(cell: Cell) -> None:
        if cell.seed == 1:
            raise SystemExit(3)

    assert work(paths, "0", runner(leave)) == 8
    after = plan(small_spec(), paths)
    assert {record.reason for record in after.failed} == {"SystemExit(3)"}
    assert (len(after.done), len(after.failed)) == (4, 4)


def test_an_error_with_a_sentence_is_its_own_reason(paths: RunPaths) -> None:
    def refuse(cell: Cell) -> None:
        raise SpecError("batch_size 8 is larger than the data")

    work(paths, "0", runner(refuse))
    reasons = {record.reason for record in plan(small_spec(), paths).failed}
    assert reasons == {"batch_size 8 is larger than the data"}
    assert not list(paths.logs.glob("cell-*"))


def test_a_full_disk_ends_the_worker_and_loses_nothing(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Cell] = []
    replace = os.replace

    def full_after_three(source: Any, target: Any) -> None:
        if len(written) > 3:
            raise OSError(28, os.strerror(28))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full_after_three)
    with pytest.raises(StorageError, match="No space left on device"):
        work(paths, "0", runner(written.append))
    monkeypatch.undo()
    assert len(plan(small_spec(), paths).done) == 3
    assert not list(paths.cells.glob(".*.tmp"))
    prepare(small_spec(), paths)
    assert work(paths, "0", runner()) == 5


def test_a_cell_that_the_study_no_longer_asks_for_is_ended(paths: RunPaths) -> None:
    from robustlr.records import write_json

    write_json(paths.spec, small_spec(seeds=1).table())
    ran: list[Cell] = []
    work(paths, "0", runner(ran.append))
    assert ran == list(small_spec(seeds=1).cells())


def test_who_waits_takes_a_cell_that_is_put_back_between_two_looks(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_queue(small_spec(), paths)
    theirs = [queue.claim("other") for _ in range(8)]
    running = type(queue).running

    def put_back_before(self: CellQueue) -> list[Claim]:
        while theirs:
            assert queue.put_back(theirs.pop())
        return running(self)

    monkeypatch.setattr(type(queue), "running", put_back_before)
    assert work(paths, "0", runner(), wait=True) == 8
