"""`robustlr study`: plan, run and watch a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from robustlr_cli._arguments import (
    RUNS,
    CellsPerGpu,
    Json,
    Out,
    Storage,
    Study,
    locate,
)
from robustlr_cli._console import note, say, show_facts, show_json, show_table
from robustlr_cli.report import report_on
from robustlr_cli.study_cancel import cancel
from robustlr_cli.study_file import init, schema
from robustlr_cli.study_plan import plan
from robustlr_cli.study_run import Place, run_here, run_on_slurm
from robustlr_cli.study_status import by_reason, counted, status
from robustlr_cli.study_worker import worker

if TYPE_CHECKING:
    from robustlr.study import Plan

app = typer.Typer(help="Plan, run and watch a study.", no_args_is_help=True)

_MOST_REASONS = 5
_ROUNDS = 3  # of a run whose results are lost as soon as they are there


@app.command(epilog="Example: robustlr study run digits --workers 2")
def run(
    study: Study,
    out: Out = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Worker processes. [default: one per GPU, or cores / threads per cell]"
        ),
    ] = None,
    cells_per_gpu: CellsPerGpu = None,
    storage: Storage = None,
    on: Annotated[
        Place, typer.Option(help="This machine, or the cluster's [execution.slurm].")
    ] = Place.HERE,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --on slurm: submit the jobs and return.")
    ] = False,
    new_code: Annotated[
        bool,
        typer.Option(
            "--new-code", help="The workload's code has changed, in a way that alters no result."
        ),
    ] = False,
    report: Annotated[bool, typer.Option(help="Build the report at the end.")] = True,
) -> None:
    """Run what is missing of a study, then build its report.

    Interrupt it at will: the same command goes on with what is missing. A wider grid, more
    schedules or more seeds run only the new cells.
    """
    from robustlr.errors import CellsFailedError
    from robustlr.records import pull_results
    from robustlr.study import plan

    spec, paths = locate(study, out, storage)
    if detach and on is not Place.SLURM:
        raise typer.BadParameter("--detach needs --on slurm: a run here ends with its command")
    for rounds_left in reversed(range(_ROUNDS)):
        if on is Place.SLURM:
            run_on_slurm(
                study, spec, paths, workers, cells_per_gpu, new_code=new_code, detach=detach
            )
        else:
            run_here(study, spec, paths, workers, cells_per_gpu, new_code=new_code)
        if detach:
            return
        pull_results(spec, paths)
        after = plan(spec, paths)
        lost = len(after.missing) + len(after.damaged)
        if not (lost and rounds_left):
            break
        note(f"{spec.name}: {lost} results were lost or damaged meanwhile; their cells run again")
    note(f"{spec.name}: {_outcome(after)}; results in {paths.root}")
    if report and after.done:
        note("measuring and drawing the report ...")
        say(str(report_on(spec, paths, study if out is None else str(paths.root))))
    if after.failed:
        for reason, cells in by_reason(after.failed)[:_MOST_REASONS]:
            note(f"  {counted(cells)} failed: {reason}")
        raise CellsFailedError(
            f"{len(after.failed)} of {len(after.cells)} cells failed; their logs are in "
            f"{paths.logs}, and the same command tries them again"
        )
    if lost:
        raise CellsFailedError(
            f"{lost} of {len(after.cells)} cells have no result that can be read, though they ran "
            f"{_ROUNDS} times: see who else writes to {paths.cells}, and whether its disk is sound"
        )


@app.command("list", epilog="Example: robustlr study list")
def list_studies(as_json: Json = False) -> None:
    """The packaged studies, and the runs in this folder."""
    from robustlr.errors import RobustlrError
    from robustlr.records import RunPaths, read_spec
    from robustlr.specs import load_study, packaged_studies

    found: dict[str, dict[str, object]] = {}
    for name, path in packaged_studies().items():
        spec = load_study(path)
        found[name] = {
            "study": name, "cells": sum(1 for _ in spec.cells()), "done": None,
            "question": spec.question,
        }  # fmt: skip
    for folder in sorted(RUNS.glob("*")):
        paths = RunPaths(folder)
        if not paths.spec.is_file():
            continue
        try:
            spec = read_spec(paths)
        except RobustlrError as error:  # one bad folder must not hide the others
            note(f"left out: {error}")
            continue
        keys = {cell.key for cell in spec.cells()}
        done = keys & {path.stem for path in paths.cells.glob("*.parquet")}
        found[folder.name] = {
            "study": folder.name, "cells": len(keys), "done": len(done),
            "question": spec.question,
        }  # fmt: skip
    if as_json:
        show_json(list(found.values()))
        return
    rows = [tuple(row.values()) for row in found.values()]
    show_table(["study", "cells", "done", "question"], rows)


@app.command(epilog="Example: robustlr study show digits")
def show(study: Study, out: Out = None, as_json: Json = False) -> None:
    """What a study asks and how: its question, axes, grid and options."""
    spec, _ = locate(study, out)
    if as_json:
        show_json(spec.table())
        return
    grid = spec.grid
    show_facts(
        {
            "study": spec.name,
            "question": spec.question,
            "workloads": ", ".join(choice.label for choice in spec.workload),
            "optimizers": ", ".join(choice.label for choice in spec.optimizer),
            "schedules": ", ".join(spec.schedule_labels),
            "learning rates": f"{len(grid)}, from {min(grid):.3g} to {max(grid):.3g}, "
            f"{grid.points_per_decade} per decade",
            "seeds": len(spec.seeds),
            "batch size": ", ".join(map(str, spec.batch_size)),
            "updates": ", ".join(sorted({str(cell.num_steps) for cell in spec.cells()}, key=int)),
            "cells": sum(1 for _ in spec.cells()),
            "baseline": spec.report.baseline,
        }
    )


app.command(epilog="Example: robustlr study plan digits")(plan)
app.command(epilog="Example: robustlr study status digits --watch")(status)
app.command(epilog="Example: robustlr study worker digits --out /shared/digits")(worker)
app.command(epilog="Example: robustlr study cancel digits")(cancel)
app.command(epilog="Example: robustlr study init mine && robustlr study run mine.toml")(init)
app.command(epilog="Example: robustlr study schema > study.schema.json")(schema)


def _outcome(after: Plan) -> str:
    from robustlr.records import RunStatus

    diverged = sum(record.status is RunStatus.DIVERGED for record in after.done)
    parts = [f"{len(after.done) - diverged} cells completed", f"{diverged} diverged"]
    if after.failed:
        parts.append(f"{len(after.failed)} failed")
    if after.damaged:
        parts.append(f"{len(after.damaged)} damaged (the same command makes them again)")
    if after.missing:
        parts.append(f"{len(after.missing)} missing")
    return ", ".join(parts)
