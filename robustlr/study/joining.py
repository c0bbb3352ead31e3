"""A worker of its own accord: it joins a study that exists, or begins it."""

from __future__ import annotations

from collections.abc import Callable

from robustlr.errors import StudyConflictError
from robustlr.records import (
    RunPaths,
    pull_results,
    push_results,
    read_spec,
    remote_of,
    write_json,
)
from robustlr.specs import StudySpec
from robustlr.study.locks import is_held
from robustlr.study.one_queue import moves, with_its_storage
from robustlr.study.opening import open_queue, with_storage
from robustlr.study.outcome import Standing
from robustlr.study.plan import check_edits, plan, prepare
from robustlr.study.sharing import begin_agreements, share_folder
from robustlr.study.vigil import is_anyone_alive


def join(spec: StudySpec, paths: RunPaths, *, stop: Callable[[], bool] = lambda: False) -> None:
    """Make sure that the study is there, this is its folder, and every cell waits that lacks a
    result, or has a damaged one; failed ones too, where nobody else is at work.

    A study that exists is waited for where its storage is away, and names it where `spec` does
    not; `stop` ends the wait. Raises StudyConflictError where the study there is another one, or
    is at work in another storage: a worker edits nothing.
    """
    pull_results(spec, paths)
    if not paths.spec.exists():
        prepare(spec, paths)
        return
    spec = with_its_storage(spec, paths)
    check_edits(spec, paths)
    standing = read_spec(paths)
    if {cell.key for cell in spec.cells()} != {cell.key for cell in standing.cells()}:
        raise StudyConflictError(
            f"{paths.root} holds this study with other cells; `robustlr study run` extends it, "
            "a worker only joins it"
        )
    moved = moves(spec, paths)
    queue = open_queue(spec, paths, patient=True, stop=stop)
    share_folder(spec, paths, queue)
    push_results(spec, paths)
    current = plan(spec, paths)
    begin_agreements(spec, paths, queue, current.done)
    if moved:  # who comes later must not find the former storage named
        write_json(paths.spec, with_storage(standing, spec.execution.storage).table())
        if (remote := remote_of(spec, paths)) is not None:
            remote.push(paths.spec.name)
    begins = not is_held(paths.run_lock) and not is_anyone_alive(spec, queue)
    left = set() if begins else {record.cell.key for record in current.failed}
    cells = [cell for cell in current.to_run if cell.key not in left]
    queue.add(cells, spec, is_done=Standing(spec, paths))
