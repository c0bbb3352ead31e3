"""Whose worker is gone: by our own clock, and never because we or the storage were away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from robustlr.records import RunPaths, RunRecord, RunStatus, read_record
from robustlr.specs import Cell
from robustlr.study import Claim, Sign, Vigil, hold, open_queue, plan, prepare, work
from robustlr.study.locks import boot
from robustlr.study.queue import CellQueue
from robustlr.study.vigil import is_anyone_alive
from tests.small_study import record_of, runner, small_spec


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("robustlr.study.vigil.time", clock)
    return clock


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def watched(paths: RunPaths, database: str, **execution: object) -> tuple[CellQueue, Vigil, Claim]:
    """A queue on PostgreSQL, somebody who watches, and a cell that a worker elsewhere has."""
    spec = small_spec(execution={"storage": database, "heartbeat_seconds": 10.0, **execution})
    _, queue = prepare(spec, paths)
    queue.beat(Sign("far#1", "elsewhere", 0, 0.0, "another boot", "/no/such/lock"))
    claim = queue.claim("far#1")
    assert claim is not None
    cells = {cell.key: cell for cell in spec.cells()}
    return queue, Vigil(spec=spec, paths=paths, queue=queue, cells=cells, me="me"), claim


def look_for(vigil: Vigil, clock: Clock, seconds: float, *, every: float = 5.0) -> None:
    vigil.look()
    for _ in range(int(seconds / every)):
        clock.now += every
        vigil.look()


def test_a_worker_elsewhere_that_is_silent_for_six_heartbeats_loses_its_cell(
    paths: RunPaths, database: str, clock: Clock
) -> None:
    queue, vigil, claim = watched(paths, database)
    look_for(vigil, clock, 55.0)
    assert queue.holds(claim)
    look_for(vigil, clock, 5.0)
    assert not queue.holds(claim)
    assert claim.key in queue.waiting()
    assert [sign.worker for sign in queue.signs()] == []


def test_a_counter_that_changes_is_life_whatever_the_clocks_say(
    paths: RunPaths, database: str, clock: Clock
) -> None:
    queue, vigil, claim = watched(paths, database)
    for beat in range(5):
        queue.beat(Sign("far#1", "elsewhere", beat, 0.0, "another boot"))
        look_for(vigil, clock, 55.0)
    assert queue.holds(claim)


@pytest.mark.parametrize("away", [100.0, 1e6])
def test_the_time_in_which_we_were_away_does_not_count(
    paths: RunPaths, database: str, clock: Clock, away: float
) -> None:
    queue, vigil, claim = watched(paths, database)
    look_for(vigil, clock, 40.0)
    clock.now += away  # we were stopped, or the storage was: no worker could give a sign
    vigil.look()
    assert queue.holds(claim)


def test_a_worker_of_this_machine_is_gone_when_its_lock_is_free(
    paths: RunPaths, database: str, clock: Clock
) -> None:
    queue, vigil, claim = watched(paths, database)
    file = paths.worker_lock("far").resolve()
    lock = hold(file)
    assert lock is not None
    queue.beat(Sign("far#1", "here", 1, 0.0, boot(), str(file)))
    vigil.look()
    assert queue.holds(claim)
    lock.release()
    look_for(vigil, clock, 5.0)
    assert not queue.holds(claim)


def test_a_worker_whose_lock_file_is_not_to_be_seen_is_watched_by_its_beats(
    paths: RunPaths, database: str, clock: Clock
) -> None:
    """Containers may have one host, one boot and one name, and each its own files."""
    queue, vigil, claim = watched(paths, database)
    queue.beat(Sign("far#1", "here", 1, 0.0, boot(), "/of/another/container/worker.lock"))
    assert is_anyone_alive(vigil.spec, queue)
    look_for(vigil, clock, 55.0)
    assert queue.holds(claim)
    look_for(vigil, clock, 5.0)
    assert not queue.holds(claim)


def test_a_worker_of_this_machine_that_was_killed_a_moment_ago_does_not_live(
    paths: RunPaths, database: str
) -> None:
    queue, vigil, _ = watched(paths, database)
    queue.forget("far#1")
    file = paths.worker_lock("killed").resolve()
    file.touch()
    queue.beat(Sign("killed#1", "here", 1, 0.0, boot(), str(file)))
    assert not is_anyone_alive(vigil.spec, queue)


def test_a_worker_that_begins_while_we_look_keeps_its_cell(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever claims has given a sign of life before: claims are read first."""
    spec = small_spec()
    _, queue = prepare(spec, paths)
    signs, begun = type(queue).signs, []

    def begin_after(self: CellQueue) -> list[Sign]:
        seen = signs(self)
        if not begun:
            begun.append(hold(paths.worker_lock("new")))
            assert self.claim("new") is not None
        return seen

    monkeypatch.setattr(type(queue), "signs", begin_after)
    cells = {cell.key: cell for cell in spec.cells()}
    Vigil(spec=spec, paths=paths, queue=queue, cells=cells).look()
    assert [claim.worker for claim in queue.running()] == ["new"]
    begun[0].release()


def test_a_cell_that_was_lost_too_often_has_failed(
    paths: RunPaths, database: str, clock: Clock
) -> None:
    queue, vigil, claim = watched(paths, database, max_retries=1)
    vigil.take_back(claim, "its worker is gone")
    while (again := queue.claim("far#1")) is not None and again.key != claim.key:
        continue
    assert again is not None
    vigil.take_back(again, "its worker is gone")
    assert claim.key not in queue.waiting()
    record = read_record(paths.cell(claim.key))
    assert (record.status, record.reason) == (RunStatus.FAILED, "its worker is gone, 2 times")


def test_a_failure_is_written_down_before_the_queue_hears_of_it(
    paths: RunPaths, database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed in between leaves a trial that the next one ends."""
    queue, vigil, claim = watched(paths, database, max_retries=0)

    def killed(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(queue), "take_away", killed)
        with pytest.raises(KeyboardInterrupt):
            vigil.take_back(claim, "its worker is gone")
    assert queue.holds(claim)
    assert [record.cell.key for record in plan(vigil.spec, paths).failed] == [claim.key]
    vigil.take_back(claim, "its worker is gone")
    assert not queue.holds(claim)


def test_a_worker_that_was_stopped_before_it_wrote_its_failure_replaces_no_result(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(seeds=1, execution={"storage": database})
    _, queue = prepare(spec, paths)
    holds = type(queue).holds

    def stopped_after(self: CellQueue, claim: Claim) -> bool:
        held = holds(self, claim)
        monkeypatch.undo()
        theirs = open_queue(spec, paths)
        assert theirs.take_away(claim, "its worker is gone", retry=True)
        assert work(paths, "fast", runner(), storage=database) == 4
        return held

    def fail(cell: Cell) -> Any:
        raise RuntimeError("no memory here")

    monkeypatch.setattr(type(queue), "holds", stopped_after)
    assert work(paths, "slow", fail, storage=database) == 0
    after = plan(spec, paths)
    assert (len(after.done), after.failed) == (4, ())


def test_a_slow_worker_that_comes_back_discards_its_result(
    paths: RunPaths, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = small_spec(seeds=1, execution={"storage": database})
    prepare(spec, paths)
    lost: list[Cell] = []

    def overtaken(cell: Cell) -> tuple[RunRecord, Any]:
        """While we run our first cell another worker misses us, takes all, and finishes."""
        if not lost:
            lost.append(cell)
            theirs = open_queue(spec, paths)
            (claim,) = theirs.running()
            assert theirs.take_away(claim, "its worker is gone", retry=True)
            assert work(paths, "fast", runner(), storage=database) == 4
            return record_of(cell, RunStatus.DIVERGED), runner()(cell)[1]
        raise AssertionError(cell)

    assert work(paths, "slow", overtaken, storage=database) == 0
    assert "another worker has taken it over; this result is discarded" in capsys.readouterr().out
    assert [record.status for record in plan(spec, paths).done] == [RunStatus.COMPLETED] * 4
