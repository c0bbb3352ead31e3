"""What a study will cost, before it runs."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

from robustlr.specs import Cell
from robustlr.study import Plan

_PROBE_STEPS = 20
_EVALUATION_SHARE = 3.0  # a forward pass against a forward and a backward pass


@dataclass(frozen=True, slots=True)
class Estimate:
    """seconds: of one worker for all cells that are to run. source: what it rests on."""

    seconds: float
    source: str


def estimate_seconds(plan: Plan, *, threads: int) -> Estimate:
    """The time one worker needs, from cells already done or from a few timed updates.

    threads: CPU threads of a worker. Every setting and schedule is looked at on its own, since
    feedback schedules cost more. Raises SpecError or WorkloadError where a cell cannot be trained.
    """
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in plan.to_run:
        groups[_group(cell)].append(cell)
    known: dict[str, list[float]] = defaultdict(list)
    for record in plan.done:
        known[_group(record.cell)].append(record.summary.wall_seconds)
    seconds, timed = 0.0, 0
    for name, cells in groups.items():
        if name in known:
            each = fmean(known[name])
        else:
            each = _timed(cells[0], threads)
            timed += 1
        seconds += each * len(cells)
    source = f"{_PROBE_STEPS} timed updates of {timed} kinds of cells" if timed else ""
    if timed < len(groups) or not groups:
        source = " and ".join(filter(None, [f"{len(plan.done)} cells already done", source]))
    return Estimate(seconds, source)


def _group(cell: Cell) -> str:
    return f"{cell.setting} · {cell.schedule.label}"


def _timed(cell: Cell, threads: int) -> float:
    """Seconds for `cell`, by training it for a moment on one process."""
    import torch

    from robustlr.training import train
    from robustlr.workloads import build_workload

    torch.set_num_threads(threads)
    steps = min(_PROBE_STEPS, cell.num_steps)
    training = dataclasses.replace(cell.training, eval_every=steps, processes_per_cell=1)
    workload = build_workload(cell.workload)
    probe = dataclasses.replace(cell, num_steps=steps, training=training)
    train(probe, workload)  # the first run pays for what is only done once
    summary = train(probe, workload)[0].summary
    per_update = summary.wall_seconds / max(summary.steps, 1)
    per_evaluation = per_update * summary.evaluation_passes / (2 * cell.batch_size)
    evaluations = 1 + -(-cell.num_steps // cell.training.eval_every)
    return cell.num_steps * per_update + evaluations * per_evaluation
