"""`robustlr study status`: how far a study is, once or for as long as it runs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr_cli._arguments import Json, Out, Storage, Study, locate
from robustlr_cli._console import Refreshed, duration, facts_block, show_json, table_block

if TYPE_CHECKING:
    from rich.console import RenderableType

    from robustlr.records import RunPaths, RunRecord
    from robustlr.specs import Cell, StudySpec
    from robustlr.study import Situation, WorkerState

_PAUSE_SECONDS = 2.0


def status(
    study: Study,
    out: Out = None,
    storage: Storage = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds until nothing is left.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How far a study is, who works on it, and what failed and why."""
    from robustlr.errors import StorageError
    from robustlr.execution import Jobs
    from robustlr.study import Watch, with_its_storage

    spec, paths = locate(study, out, storage)
    spec = with_its_storage(spec, paths)
    watching, jobs = Watch(spec, paths), Jobs(paths)
    situation = watching.look()
    if as_json:
        show_json(_as_json(spec, paths, situation, jobs.states()))
    else:
        with Refreshed() as screen, suppress(KeyboardInterrupt):
            screen.show(_blocks(spec, paths, situation, jobs.states()))
            while watch and _goes_on(situation):
                time.sleep(_PAUSE_SECONDS)
                situation = watching.look()
                screen.show(_blocks(spec, paths, situation, jobs.states()))
    if situation.trouble and not watch:
        raise StorageError(situation.trouble)


def _goes_on(now: Situation) -> bool:
    """Whether something may still change: a queue that is silent has nothing to say when all cells
    have their results."""
    open_cells = now.missing + now.damaged + len(now.failed)
    return bool(now.alive or (now.unfinished and open_cells) or (now.trouble and now.missing))


def _facts(
    spec: StudySpec, paths: RunPaths, now: Situation, jobs: Mapping[str, int]
) -> dict[str, object]:
    facts: dict[str, object] = {
        "study": spec.name,
        "folder": str(paths.root),
        "cells": now.cells,
        "completed": now.completed,
        "diverged": now.diverged,
        "failed": len(now.failed),
        "damaged": now.damaged,
        "missing": now.missing,
        "waiting": now.waiting,
        "running": now.running,
        "workers alive": now.alive,
    }
    if aside := sum(1 for _ in paths.checkpoints.glob("*.safetensors")):
        facts["with a checkpoint"] = aside
    if jobs:
        counts = [f"{count} {state.lower()}" for state, count in sorted(jobs.items())]
        facts["jobs"] = ", ".join(counts)
    if spec.execution.storage:
        facts["storage"] = spec.execution.public_storage()
    return facts


def _blocks(
    spec: StudySpec, paths: RunPaths, now: Situation, jobs: Mapping[str, int]
) -> list[RenderableType]:
    facts = _facts(spec, paths, now, jobs)
    if now.cells_per_minute:
        facts["cells per minute"] = now.cells_per_minute
    if now.unfinished:
        facts["time left"] = None if now.seconds_left is None else duration(now.seconds_left)
    if now.trouble:
        facts["trouble"] = now.trouble
    blocks: list[RenderableType] = [facts_block(facts)]
    if now.workers:
        rows = [
            (
                state.worker,
                state.host,
                _last_sign(state),
                None if state.cell is None else cell_name(state.cell),
            )
            for state in now.workers
        ]
        blocks.append(table_block(["worker", "host", "last sign of life", "cell"], rows))
    if now.failed:
        reasons = [(counted(cells), reason) for reason, cells in by_reason(now.failed)]
        blocks.append(table_block(["failed", "reason"], reasons))
    return blocks


def _last_sign(state: WorkerState) -> str:
    when = "" if state.seconds is None else f"{duration(state.seconds)} ago"
    return when if state.alive else f"{when}, gone".removeprefix(", ")


def _as_json(
    spec: StudySpec, paths: RunPaths, now: Situation, jobs: Mapping[str, int]
) -> dict[str, object]:
    facts = _facts(spec, paths, now, jobs)
    return {name.replace(" ", "_"): value for name, value in facts.items()} | {
        "cells_per_minute": now.cells_per_minute,
        "seconds_left": now.seconds_left,
        "trouble": now.trouble,
        "workers": [
            dataclasses.asdict(dataclasses.replace(state, cell=None))
            | {"cell": None if state.cell is None else state.cell.key}
            for state in now.workers
        ],
        "failures": [
            {"cell": cell_name(record.cell), "reason": record.reason, "key": record.cell.key}
            for record in now.failed
        ],
    }


def by_reason(failed: Sequence[RunRecord]) -> list[tuple[str, list[RunRecord]]]:
    """The failed cells by the reason they gave, the most frequent first."""
    reasons: dict[str, list[RunRecord]] = {}
    for record in failed:
        reasons.setdefault(record.reason, []).append(record)
    return sorted(reasons.items(), key=lambda item: -len(item[1]))


def counted(cells: Sequence[RunRecord]) -> str:
    """The one failed cell's name, or how many there are."""
    return cell_name(cells[0].cell) if len(cells) == 1 else f"{len(cells)} cells"


def cell_name(cell: Cell) -> str:
    """A cell in words."""
    return f"{cell.setting} · {cell.schedule.label} · lr {cell.peak_lr:.3g} · seed {cell.seed}"
