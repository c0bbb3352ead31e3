"""A study may be extended while workers are at work on it: they train its new cells too."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustlr.records import RunPaths, write_json
from robustlr.specs import Cell, StudySpec
from robustlr.study import Vigil, plan, prepare, work
from robustlr.study.known_cells import KnownCells
from tests.records.stores import FOLDER, register
from tests.small_study import runner, small_spec


@pytest.fixture(params=["", "objects://bucket/small"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    register()
    return str(request.param)


def spec_of(address: str, seeds: int) -> StudySpec:
    return small_spec(seeds=seeds, execution={"results": address})


def test_a_worker_trains_the_cells_of_an_extension(tmp_path: Path, address: str) -> None:
    paths = RunPaths(tmp_path / "run")
    prepare(spec_of(address, 2), paths)
    extended: list[Cell] = []

    def extend(cell: Cell) -> None:
        if not extended:
            extended.append(cell)
            prepare(spec_of(address, 3), paths)

    assert work(paths, "0", runner(extend)) == 12
    after = plan(spec_of(address, 3), paths)
    assert (len(after.done), after.to_run) == (12, ())


def test_who_watches_lets_the_cells_of_an_extension_wait_again(tmp_path: Path) -> None:
    paths, narrow = RunPaths(tmp_path / "run"), small_spec(seeds=1)
    _, queue = prepare(small_spec(), paths)
    vigil = Vigil(spec=narrow, paths=paths, queue=queue, cells=KnownCells(narrow, paths))
    claims = [claim for _ in range(8) if (claim := queue.claim("gone")) is not None]
    vigil.look()
    assert queue.waiting() == {claim.key for claim in claims}


def test_a_cell_that_the_study_does_not_have_is_unknown(tmp_path: Path) -> None:
    paths, narrow = RunPaths(tmp_path / "run"), small_spec(seeds=1)
    keys = {cell.key for cell in narrow.cells()}
    cells = KnownCells(narrow, paths)
    assert cells.get("nobody's") is None  # and there is no spec to read
    paths.create()
    write_json(paths.spec, small_spec().table())
    assert cells.get("nobody's") is None
    assert keys < set(cells)
    assert len(cells) == 8
