"""What a study has, what it lacks, and bringing its queue in line with that."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from robustlr.errors import DataError, StorageError, StudyConflictError
from robustlr.files import remove_leftovers
from robustlr.records import (
    RunPaths,
    RunRecord,
    RunStatus,
    pull_results,
    push_results,
    read_result,
    read_spec,
    remote_of,
    write_json,
)
from robustlr.specs import Cell, StudySpec, conflicts
from robustlr.study.locks import is_held
from robustlr.study.one_queue import moves
from robustlr.study.opening import open_queue
from robustlr.study.outcome import Standing
from robustlr.study.queue import CellQueue
from robustlr.study.sharing import begin_agreements, share_folder
from robustlr.study.vigil import Vigil

_ORPHAN_SECONDS = 15.0  # how long the workers of a killed run may take to notice it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The cells of a spec against the results in a folder.

    done: results that stand. failed: cells to be tried again. missing: never finished.
    damaged: result files that cannot be read. outside: results the spec no longer asks for.
    """

    cells: tuple[Cell, ...]
    done: tuple[RunRecord, ...]
    failed: tuple[RunRecord, ...]
    missing: tuple[Cell, ...]
    damaged: tuple[Path, ...]
    outside: int

    @property
    def to_run(self) -> tuple[Cell, ...]:
        """Cells without a result that stands, in the spec's order."""
        done = {record.cell.key for record in self.done}
        return tuple(cell for cell in self.cells if cell.key not in done)


def plan(spec: StudySpec, paths: RunPaths) -> Plan:
    """Compare a spec with what is on disk; changes nothing.

    Raises StudyConflictError where the spec would change existing cells, key by key.
    """
    check_edits(spec, paths)
    cells = tuple(spec.cells())
    keys = {cell.key for cell in cells}
    on_disk = {path.stem for path in paths.cells.glob("*.parquet")}
    done: list[RunRecord] = []
    failed: list[RunRecord] = []
    missing: list[Cell] = []
    damaged: list[Path] = []
    for cell in cells:
        if cell.key not in on_disk:
            missing.append(cell)
            continue
        try:
            record = read_result(paths.cell(cell.key))
        except DataError:
            damaged.append(paths.cell(cell.key))
            continue
        (failed if record.status is RunStatus.FAILED else done).append(record)
    return Plan(
        cells=cells,
        done=tuple(done),
        failed=tuple(failed),
        missing=tuple(missing),
        damaged=tuple(damaged),
        outside=len(on_disk - keys),
    )


def check_edits(spec: StudySpec, paths: RunPaths) -> None:
    """Raise StudyConflictError where `spec` would change cells that exist under `paths`."""
    if not paths.spec.exists():
        return
    found = conflicts(read_spec(paths), spec)
    if found:
        raise StudyConflictError(
            f"{paths.root} holds this study with other settings: {'; '.join(found)}. "
            "Undo the edit, or give the changed study another --out"
        )


def prepare(
    spec: StudySpec, paths: RunPaths, *, workers: Iterable[str] = (), new_code: bool = False
) -> tuple[Plan, CellQueue]:
    """Make the queue hold exactly the cells that are to run.

    Damaged results are put aside under another name, cells of dead workers wait again, and so
    does every cell without a result. workers: names the caller will give to its own; those of
    a killed run are waited for. new_code: let workers with other code than that of the results
    take part. Raises StudyConflictError where the spec would change cells, or
    somebody is at work on the study in another storage.
    """
    paths.create()
    _wait_for_orphans(paths, workers)
    pull_results(spec, paths)
    current = plan(spec, paths)
    moves(spec, paths, driving=True)
    queue = open_queue(spec, paths)
    share_folder(spec, paths, queue)
    push_results(spec, paths)
    for path in current.damaged:
        _put_aside(path)
    cells = {cell.key: cell for cell in current.cells}
    Vigil(spec=spec, paths=paths, queue=queue, cells=cells).look(blame=False)
    for folder in (paths.root, paths.cells, paths.checkpoints, paths.logs):
        remove_leftovers(folder)
    done = {record.cell.key for record in current.done}
    for checkpoint in paths.checkpoints.iterdir():
        if checkpoint.stem in done:  # of a worker that was killed before it removed it
            checkpoint.unlink(missing_ok=True)
    begin_agreements(spec, paths, queue, current.done, new_code=new_code)
    write_json(paths.spec, spec.table())
    if (remote := remote_of(spec, paths)) is not None:
        remote.push(paths.spec.name)
    queue.add(current.to_run, spec, is_done=Standing(spec, paths))
    return current, queue


def _put_aside(damaged: Path) -> None:
    """Unless a worker has made the result again meanwhile."""
    try:
        read_result(damaged)
    except DataError:
        with suppress(FileNotFoundError):
            damaged.replace(damaged.with_suffix(".damaged"))


def living_workers(paths: RunPaths) -> list[str]:
    """Names of the workers that are at work on the study on this machine."""
    locks = sorted(paths.locks.glob("worker-*.lock"))
    return [lock.stem for lock in locks if is_held(lock)]


def _wait_for_orphans(paths: RunPaths, workers: Iterable[str]) -> None:
    deadline = time.monotonic() + _ORPHAN_SECONDS
    names = list(workers)
    while alive := [name for name in names if is_held(paths.worker_lock(name))]:
        if time.monotonic() > deadline:
            raise StorageError(
                f"{paths.root}: workers of another run are still at work ({', '.join(alive)}); "
                "wait for them or end them"
            )
        time.sleep(0.1)
