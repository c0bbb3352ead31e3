"""Every cell is claimed by exactly one worker, and none is made up."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from robustlr.records import RunPaths
from robustlr.study import CellQueue
from tests.small_study import small_spec


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "run")
    paths.create()
    return paths


def filled(paths: RunPaths, **edits: Any) -> CellQueue:
    spec = small_spec(**edits)
    queue = CellQueue(paths, spec.name)
    queue.add(spec.cells(), spec)
    return queue


def test_every_cell_waits_once_in_the_order_of_the_spec(paths: RunPaths) -> None:
    queue = filled(paths)
    claimed = []
    while (claim := queue.claim("0")) is not None:
        claimed.append(claim[1])
    assert claimed == [cell.key for cell in small_spec().cells()]
    assert queue.claim("0") is None  # a drained queue samples nothing


def test_states_and_the_best_value(paths: RunPaths) -> None:
    queue = filled(paths)
    keys = {cell.key for cell in small_spec().cells()}
    numbers = [
        claim[0] for claim in (queue.claim("a"), queue.claim("a"), queue.claim("b")) if claim
    ]
    queue.complete(numbers[0], 0.5)
    queue.fail(numbers[1], "raised")
    tally = queue.tally(keys)
    assert (tally.waiting, tally.running, tally.failed, tally.best_value) == (5, 1, 1, 0.5)
    assert list(queue.running("b")) == [numbers[2]]
    assert queue.running("a") == {}
    assert queue.tally(()).waiting == 0


def test_a_trial_that_somebody_ended_stays_as_it_is(paths: RunPaths) -> None:
    queue = filled(paths)
    claim = queue.claim("a")
    assert claim is not None
    queue.fail(claim[0], "its worker is gone")
    queue.complete(claim[0], 1.0)
    queue.fail(claim[0], "again")
    study = optuna.load_study(study_name="small", storage=queue._storage)
    trial = study.trials[claim[0]]
    assert trial.state is optuna.trial.TrialState.FAIL
    assert trial.user_attrs["reason"] == "its worker is gone"


def test_the_study_opens_in_optuna_with_its_parameters(paths: RunPaths) -> None:
    filled(paths)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(paths.journal))
    )
    study = optuna.load_study(study_name="small", storage=storage)
    cells = list(small_spec().cells())
    assert [trial.user_attrs["cell"] for trial in study.trials] == [cell.key for cell in cells]
    assert study.trials[0].params == {
        "peak_lr": cells[0].peak_lr,
        "schedule": "fixed",
        "seed": 0,
    }


def test_a_wider_grid_joins_the_same_study(paths: RunPaths) -> None:
    queue = filled(paths)
    wider = small_spec(
        grid={"low": 0.01, "high": 100.0, "points_per_decade": 2}, schedule=["fixed", "linear"]
    )
    queue.add((cell for cell in wider.cells() if cell.key not in queue.waiting()), wider)
    assert {cell.key for cell in wider.cells()} <= queue.waiting()


@pytest.mark.parametrize("finishes", [False, True])
def test_a_worker_that_was_faster_is_passed_over(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch, finishes: bool
) -> None:
    slow = filled(paths)
    fast = CellQueue(paths, "small")
    look = slow._storage.get_trial

    def look_and_be_overtaken(trial_id: int) -> optuna.trial.FrozenTrial:
        seen = look(trial_id)
        monkeypatch.undo()
        claim = fast.claim("fast")
        assert claim is not None
        if finishes:
            fast.complete(claim[0], 1.0)
        return seen

    monkeypatch.setattr(slow._storage, "get_trial", look_and_be_overtaken)
    claim = slow.claim("slow")
    assert claim is not None
    assert claim[1] == list(small_spec().cells())[1].key


def _drain(paths: RunPaths, worker: str, results: Any) -> None:
    queue = CellQueue(paths, "small")
    while (claim := queue.claim(worker)) is not None:
        queue.complete(claim[0], 0.0)
        results.put(claim[1])


@pytest.mark.slow
def test_four_processes_claim_every_cell_exactly_once(paths: RunPaths) -> None:
    filled(paths, seeds=12)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_drain, args=(paths, str(worker), results)) for worker in range(4)
    ]
    for process in processes:
        process.start()
    keys = [cell.key for cell in small_spec(seeds=12).cells()]
    claimed = Counter(results.get(timeout=60) for _ in keys)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert claimed == Counter(keys)
    assert results.empty()
