"""`robustlr study plan`: what a study will cost, before anything runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr_cli._arguments import CellsPerGpu, Json, Out, Study, code_folders, locate, packed
from robustlr_cli._console import duration, note, show_facts, show_json

if TYPE_CHECKING:
    from robustlr.specs import StudySpec


def plan(
    study: Study,
    out: Out = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes to plan for.")
    ] = None,
    cells_per_gpu: CellsPerGpu = None,
    measure: Annotated[
        bool, typer.Option(help="Time a few updates of every setting to estimate the cost.")
    ] = True,
    tflops: Annotated[
        float, typer.Option(min=0.001, help="TFLOP/s that one device sustains, for GPU-hours.")
    ] = 100.0,
    as_json: Json = False,
) -> None:
    """Tell the cells, the estimated cost and what is already done, before anything runs."""
    from robustlr.errors import DataError, WorkloadError
    from robustlr.execution import default_workers, estimate_seconds, training_flops
    from robustlr.study import plan as make_plan

    spec, paths = locate(study, out, pull=True)
    spec = packed(spec, cells_per_gpu)
    current = make_plan(spec, paths)
    slots = workers or default_workers(spec)
    facts: dict[str, object] = {
        "study": spec.name,
        "folder": str(paths.root),
        "cells": len(current.cells),
        "done": len(current.done),
        "failed": len(current.failed),
        "damaged": len(current.damaged),
        "to run": len(current.to_run),
        "updates to make": sum(cell.num_steps for cell in current.to_run),
        "workers": slots,
    }
    if current.outside:
        facts["results the study no longer asks for"] = current.outside
    sys.path.extend(map(str, code_folders(study)))
    uncounted = ""
    try:
        flops = training_flops(current.to_run)
        facts["training FLOPs"] = float(f"{flops:.3g}")
        facts["GPU hours"] = float(f"{flops / (tflops * 1e12) / 3600:.3g}")
    except (DataError, WorkloadError) as error:
        uncounted = str(error)
    try:
        if current.to_run:
            _rehearse(spec)
        if measure:
            estimate = estimate_seconds(current, threads=spec.execution.threads_per_cell)
            facts["estimated seconds"] = round(estimate.seconds / slots, 1)
            facts["kinds of cells timed"] = estimate.kinds
    except DataError as error:
        if measure:
            if not as_json:  # the cost is worth knowing before the data is fetched
                _show(facts, tflops)
            raise
        note(f"not rehearsed: {error}")
        uncounted = "" if uncounted in str(error) else uncounted
    if uncounted and not measure:  # timing says the same, or can do without
        note(f"arithmetic not counted: {uncounted}")
    if as_json:
        show_json({name.replace(" ", "_"): value for name, value in facts.items()})
        return
    _show(facts, tflops)


def _rehearse(spec: StudySpec) -> None:
    """What `study run` does before any cell: one batch of every workload."""
    from robustlr.training import rehearse
    from robustlr.workloads import build_workload

    for choice in spec.workload:
        rehearse(spec, choice, build_workload(choice))


def _show(facts: dict[str, object], tflops: float) -> None:
    """Facts as a person reads them."""
    shown = dict(facts)
    if "GPU hours" in shown:
        hours = shown.pop("GPU hours")
        shown["training FLOPs"] = (
            f"{shown['training FLOPs']:.3g} ({hours:.3g} GPU-hours at {tflops:g} TFLOP/s)"
        )
    if "estimated seconds" in shown:
        shown["estimated time"] = duration(float(str(shown.pop("estimated seconds"))))
    show_facts(shown)
