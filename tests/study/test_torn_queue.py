"""A change of the journal that was cut short anywhere, as by a full disk, loses no cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from robustlr.records import RunPaths
from robustlr.specs import Cell, StudySpec
from robustlr.study import CellQueue, Claim, Vigil, open_queue, prepare, work
from tests.small_study import runner, small_spec

SPEC = small_spec(seeds=1)
KEYS = [cell.key for cell in SPEC.cells()]


def claimed(queue: CellQueue) -> Claim:
    claim = queue.claim("0")
    assert claim is not None
    return claim


def nothing(queue: CellQueue) -> None:
    pass


def add(queue: CellQueue, _: None) -> None:
    queue.add(SPEC.cells(), SPEC)


def claim(queue: CellQueue, _: None) -> None:
    claimed(queue)


def take_away(queue: CellQueue, held: Claim) -> None:
    assert queue.take_away(held, "its worker is gone", retry=True)


def put_back(queue: CellQueue, held: Claim) -> None:
    assert queue.put_back(held)


Change = tuple[Callable[[CellQueue], object], Callable[[CellQueue, object], None]]
CHANGES = {
    "add": (nothing, add),
    "claim": (nothing, claim),
    "take away": (claimed, take_away),
    "put back": (claimed, put_back),
}


def cut_short(change: Change, root: Path) -> list[bytes]:
    """Journals in which the change was cut at every line, and within it; first not begun at all."""
    before, make = change
    paths = RunPaths(root)
    paths.create()
    queue = open_queue(SPEC, paths)
    if make is not add:
        queue.add(SPEC.cells(), SPEC)
    state = before(queue)
    begun = paths.journal.stat().st_size
    make(queue, state)
    whole = paths.journal.read_bytes()
    ends = [place + 1 for place in range(begun, len(whole)) if whole[place] == ord("\n")]
    assert ends
    assert ends[-1] == len(whole)
    return [whole[:cut] for end in [begun, *ends] for cut in (end, max(end - 7, begun))]


def torn(change: str, root: Path) -> list[RunPaths]:
    """Runs with such journals, whose workers are dead."""
    runs = []
    for number, journal in enumerate(cut_short(CHANGES[change], root / "whole")):  # type: ignore[arg-type]
        paths = RunPaths(root / str(number))
        paths.create()
        paths.journal.write_bytes(journal)
        runs.append(paths)
    return runs


def waiting(spec: StudySpec, paths: RunPaths) -> Counter[str]:
    """How often each cell waits."""
    queue, counted = open_queue(spec, paths), Counter[str]()
    while (held := queue.claim("counting")) is not None:
        counted[held.key] += 1
    return counted


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_run_has_every_cell_once(change: str, tmp_path: Path) -> None:
    for paths in torn(change, tmp_path):
        prepare(SPEC, paths)
        assert waiting(SPEC, paths) == Counter(KEYS)


@pytest.mark.parametrize("change", ["claim", "take away", "put back"])
def test_a_run_that_goes_on_has_every_cell_once(change: str, tmp_path: Path) -> None:
    for paths in torn(change, tmp_path):
        queue = open_queue(SPEC, paths)
        cells = {cell.key: cell for cell in SPEC.cells()}
        Vigil(spec=SPEC, paths=paths, queue=queue, cells=cells).look()
        assert queue.running() == []
        assert waiting(SPEC, paths) == Counter(KEYS)


def test_a_trial_that_runs_and_is_nobodys_is_given_to_others(tmp_path: Path) -> None:
    """As a claim was left by a full disk before its lines had their order."""
    paths = RunPaths(tmp_path / "run")
    _, queue = prepare(SPEC, paths)
    assert queue.claim("") is not None
    ran: list[Cell] = []
    prepare(SPEC, paths)
    assert work(paths, "0", runner(ran.append)) == len(KEYS)
    assert sorted(cell.key for cell in ran) == sorted(KEYS)
