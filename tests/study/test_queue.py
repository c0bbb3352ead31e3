"""One contract for both queues: every cell is claimed by exactly one worker, none is made up."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from sqlalchemy import NullPool

from robustlr.errors import StorageError
from robustlr.records import RunPaths
from robustlr.specs import StudySpec
from robustlr.study import CellQueue, Claim, Sign, open_queue
from tests.small_study import small_spec


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "run")
    paths.create()
    return paths


@pytest.fixture(params=["journal", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "journal" else str(request.getfixturevalue("database"))


def spec_on(storage: str, **edits: Any) -> StudySpec:
    return small_spec(execution={"storage": storage}, **edits)


def filled(paths: RunPaths, storage: str, **edits: Any) -> CellQueue:
    spec = spec_on(storage, **edits)
    queue = open_queue(spec, paths)
    queue.add(spec.cells(), spec)
    return queue


def claimed(queue: CellQueue, worker: str = "a") -> Claim:
    claim = queue.claim(worker)
    assert claim is not None
    return claim


def in_optuna(paths: RunPaths, storage: str) -> optuna.Study:
    """The study as anybody opens it who knows Optuna and not us."""
    if storage:
        rdb = optuna.storages.RDBStorage(
            storage.replace("://", "+psycopg://", 1), engine_kwargs={"poolclass": NullPool}
        )
        return optuna.load_study(study_name="small", storage=rdb)
    backend = optuna.storages.journal.JournalFileBackend(str(paths.journal))
    return optuna.load_study(study_name="small", storage=optuna.storages.JournalStorage(backend))


def test_every_cell_waits_once_in_the_order_of_the_spec(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage)
    keys = []
    while (claim := queue.claim("0")) is not None:
        assert (claim.number, claim.worker, claim.attempt) == (len(keys), "0", 1)
        keys.append(claim.key)
    assert keys == [cell.key for cell in small_spec().cells()]
    assert queue.claim("0") is None  # a drained queue samples nothing


def test_states_and_the_best_value(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage)
    keys = {cell.key for cell in small_spec().cells()}
    claims = [claimed(queue, worker) for worker in ("a", "a", "b")]
    assert queue.complete(claims[0], 0.5)
    assert queue.fail(claims[1], "raised")
    tally = queue.tally(keys)
    assert (tally.waiting, tally.running, tally.failed, tally.best_value) == (5, 1, 1, 0.5)
    assert queue.running() == [claims[2]]
    assert queue.tally(()).waiting == 0
    assert len(queue.waiting()) == 5


def test_a_trial_that_somebody_ended_stays_as_it_is(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage)
    claim = claimed(queue)
    assert queue.holds(claim)
    assert queue.fail(claim, "its worker is gone")
    assert not queue.holds(claim)
    assert not queue.complete(claim, 1.0)
    assert not queue.fail(claim, "again")
    trial = in_optuna(paths, storage).trials[claim.number]
    assert trial.state is optuna.trial.TrialState.FAIL
    assert trial.user_attrs["reason"] == "its worker is gone"


def test_a_cell_taken_away_waits_once_for_its_next_attempt(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage, seeds=1)
    first = claimed(queue, "slow")
    others = [claimed(queue, "fast") for _ in range(3)]
    watchers = [open_queue(spec_on(storage, seeds=1), paths) for _ in range(2)]
    taken = [watcher.take_away(first, "gone", retry=True) for watcher in watchers]
    assert taken == [True, False]  # two saw it gone, one took it
    again = claimed(queue, "fast")
    assert (again.key, again.attempt, again.number) == (first.key, 2, 4)
    assert queue.claim("fast") is None
    assert not queue.complete(first, 1.0)
    assert queue.complete(again, 2.0)
    trials = in_optuna(paths, storage).trials
    assert trials[4].params == trials[0].params
    assert trials[4].user_attrs["setting"] == trials[0].user_attrs["setting"]
    assert [trial.value for trial in trials] == [None] * (1 + len(others)) + [2.0]


def test_a_cell_put_back_waits_again_and_loses_no_attempt(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage, seeds=1)
    first = claimed(queue, "told")
    assert queue.put_back(first)
    assert not queue.put_back(first)
    assert len(queue.waiting()) == 4
    assert queue.tally(queue.waiting()).failed == 0
    keys = [claimed(queue) for _ in range(4)]
    assert (keys[-1].key, keys[-1].attempt) == (first.key, 1)
    assert not queue.complete(first, 1.0)


def test_a_cell_that_waits_or_runs_is_not_added_again(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage)
    first = claimed(queue)
    queue.complete(claimed(queue), 1.0)
    spec = spec_on(storage)
    queue.add(spec.cells(), spec)
    assert len(queue.waiting()) == 7  # the one told as complete waits again, if it is asked for
    assert first.key not in queue.waiting()
    assert len(in_optuna(paths, storage).trials) == 9


def test_the_study_opens_in_optuna_with_its_parameters(paths: RunPaths, storage: str) -> None:
    filled(paths, storage)
    study = in_optuna(paths, storage)
    cells = list(small_spec().cells())
    assert [trial.user_attrs["cell"] for trial in study.trials] == [cell.key for cell in cells]
    assert [trial.number for trial in study.trials] == list(range(8))
    assert study.trials[0].params == {
        "peak_lr": cells[0].peak_lr,
        "schedule": "fixed",
        "seed": 0,
    }
    assert study.trials[3].params["schedule"] == "cosine"
    study.enqueue_trial({"peak_lr": 0.1, "schedule": "fixed", "seed": 0})
    assert study.trials[-1].number == 8


def test_a_wider_grid_joins_the_same_study(paths: RunPaths, storage: str) -> None:
    filled(paths, storage)
    wider = spec_on(
        storage,
        grid={"low": 0.01, "high": 100.0, "points_per_decade": 2},
        schedule=["fixed", "linear"],
    )
    queue = open_queue(wider, paths)
    queue.add(wider.cells(), wider)
    assert {cell.key for cell in wider.cells()} <= queue.waiting()
    values = {trial.params["schedule"] for trial in in_optuna(paths, storage).trials}
    assert values == {"fixed", "cosine", "linear"}


def test_trials_that_are_no_cells_are_passed_over(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage, seeds=1)
    study = in_optuna(paths, storage)
    study.add_trial(optuna.create_trial(value=-1.0))
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING))
    for _ in range(2):
        study.enqueue_trial({"peak_lr": 0.1})
    keys = {cell.key for cell in small_spec(seeds=1).cells()}
    assert queue.waiting() == keys
    assert {claimed(queue).key for _ in keys} == keys
    assert queue.claim("a") is None
    assert {claim.key for claim in queue.running()} == keys
    assert queue.tally(keys).best_value is None


def test_a_study_of_somebody_else_is_refused(paths: RunPaths, database: str) -> None:
    queue = open_queue(spec_on(database), paths)  # which makes the tables
    study = in_optuna(paths, database)
    study.enqueue_trial({"x": 1.0})
    with pytest.raises(StorageError, match="another study of the name 'small', whose trials are"):
        open_queue(spec_on(database), paths)
    queue.add(small_spec().cells(), small_spec())
    assert len(open_queue(spec_on(database), paths).waiting()) == 8


@pytest.mark.parametrize("finishes", [False, True])
def test_a_worker_that_was_faster_is_passed_over(
    paths: RunPaths, storage: str, finishes: bool
) -> None:
    slow = filled(paths, storage)
    slow.complete(claimed(slow, "slow"), 1.0)  # it now remembers what waits
    fast = open_queue(spec_on(storage), paths)
    claim = claimed(fast, "fast")
    if finishes:
        fast.complete(claim, 1.0)
    assert claimed(slow, "slow").key == list(small_spec().cells())[2].key


def test_a_diverged_value_without_bound_is_told(paths: RunPaths, storage: str) -> None:
    queue = filled(paths, storage)
    assert queue.complete(claimed(queue), float("inf"))
    assert in_optuna(paths, storage).trials[0].value == float("inf")


def test_the_first_word_stands_until_it_is_forgotten(paths: RunPaths, storage: str) -> None:
    one, two = (open_queue(spec_on(storage), paths) for _ in range(2))
    assert one.agree("code x", "1") == "1"
    assert two.agree("code x", "2") == "1"
    two.agree("other", "3")
    two.forget_agreements("code ")
    assert one.agree("code x", "4") == "4"
    assert one.agree("other", "5") == "3"


def test_signs_of_life_are_listed_until_the_worker_ends(paths: RunPaths, database: str) -> None:
    queue = open_queue(spec_on(database), paths)
    for beat in (1, 2):
        queue.beat(Sign("b#1", "host", beat, 99.0, "boot", "lock"))
    queue.beat(Sign("a#2", "host", 1, 0.0))
    signs = queue.signs()
    assert [(sign.worker, sign.beat) for sign in signs] == [("a#2", 1), ("b#1", 2)]
    assert all(0 <= sign.seconds < 60 for sign in signs)
    assert (signs[1].boot, signs[1].lock) == ("boot", "lock")
    queue.forget("b#1")
    assert [sign.worker for sign in queue.signs()] == ["a#2"]


def lose_the_next_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the connection break right after the next commit."""
    transaction = psycopg.Connection.transaction

    @contextmanager
    def broken(self: Any) -> Iterator[Any]:
        with transaction(self) as inside:
            yield inside
        monkeypatch.undo()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(psycopg.Connection, "transaction", broken)


def test_an_answer_that_got_lost_changes_nothing(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = filled(paths, database)
    lose_the_next_answer(monkeypatch)
    first = claimed(queue)
    assert queue.running() == [first]
    lose_the_next_answer(monkeypatch)
    assert queue.complete(first, 1.0)
    second = claimed(queue)
    lose_the_next_answer(monkeypatch)
    assert queue.take_away(second, "gone", retry=True)
    assert not queue.take_away(second, "gone", retry=True)
    states = Counter(trial.state.name for trial in in_optuna(paths, database).trials)
    assert states == {"COMPLETE": 1, "FAIL": 1, "WAITING": 7}


def test_a_lost_answer_takes_nothing_that_another_took(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = filled(paths, database)
    claim = claimed(queue)
    assert open_queue(spec_on(database), paths).take_away(claim, "gone", retry=True)
    for tell in (
        lambda: queue.take_away(claim, "gone", retry=True),
        lambda: queue.complete(claim, 1.0),
    ):
        lose_the_next_answer(monkeypatch)
        assert not tell()


def _drain(root: Path, storage: str, worker: str, results: Any) -> None:
    queue = open_queue(spec_on(storage, seeds=12), RunPaths(root))
    while (claim := queue.claim(worker)) is not None:
        assert queue.complete(claim, 0.0)
        results.put(claim.key)


@pytest.mark.slow
def test_four_processes_claim_every_cell_exactly_once(paths: RunPaths, storage: str) -> None:
    filled(paths, storage, seeds=12)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_drain, args=(paths.root, storage, str(worker), results))
        for worker in range(4)
    ]
    for process in processes:
        process.start()
    keys = [cell.key for cell in small_spec(seeds=12).cells()]
    counted = Counter(results.get(timeout=60) for _ in keys)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert counted == Counter(keys)
    assert results.empty()


def test_who_begins_first_keeps_nobody_waiting(
    paths: RunPaths, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To import Optuna takes a slow machine half a minute: another begins and ends meanwhile."""
    others: list[CellQueue] = []

    def slowly() -> None:
        monkeypatch.undo()
        others.append(filled(paths, database))

    monkeypatch.setattr("robustlr.study.optuna_tables.import_optuna", slowly)
    queue = filled(paths, database)
    assert len(others) == 1
    assert len(queue.waiting()) == 8


def test_a_study_is_made_once_by_whoever_has_the_lock(paths: RunPaths, database: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        queues = list(pool.map(lambda _: filled(paths, database), range(6)))
    assert {len(queue.waiting()) for queue in queues} == {8}
