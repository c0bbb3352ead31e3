"""A worker of its own accord: it joins a study that exists, or begins it."""

from __future__ import annotations

from robustlr.errors import StudyConflictError
from robustlr.records import RunPaths, pull_results, read_spec
from robustlr.specs import StudySpec
from robustlr.study.opening import open_queue
from robustlr.study.outcome import Standing
from robustlr.study.plan import check_edits, plan, prepare
from robustlr.study.sharing import agree_on_version, share_folder


def join(spec: StudySpec, paths: RunPaths) -> None:
    """Make sure that the study is there, this is its folder, and every missing cell waits.

    Raises StudyConflictError where the study there is another one: a worker edits nothing.
    """
    pull_results(spec, paths)
    if not paths.spec.exists():
        prepare(spec, paths)
        return
    check_edits(spec, paths)
    if {cell.key for cell in spec.cells()} != {cell.key for cell in read_spec(paths).cells()}:
        raise StudyConflictError(
            f"{paths.root} holds this study with other cells; `robustlr study run` extends it, "
            "a worker only joins it"
        )
    queue = open_queue(spec, paths)
    share_folder(spec, paths, queue)
    agree_on_version(spec, queue)
    queue.add(plan(spec, paths).missing, spec, is_done=Standing(spec, paths))
