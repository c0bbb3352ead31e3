"""What a study will cost, before it runs."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from dataclasses import dataclass

from robustlr.errors import RobustlrError, WorkloadError
from robustlr.specs import Cell
from robustlr.study import Plan
from robustlr.whereabouts import located

_PROBE_STEPS = 40
_PROBE_EVALUATIONS = 4  # beyond the first


@dataclass(frozen=True, slots=True)
class Estimate:
    """seconds: of one worker for all cells that are to run. kinds: of cells that were timed."""

    seconds: float
    kinds: int


def estimate_seconds(plan: Plan, *, threads: int) -> Estimate:
    """The time one worker needs, from a few timed updates and evaluations of every kind of cell.

    A kind is a setting with a schedule, as feedback schedules cost more. threads: CPU threads of
    a worker. Raises SpecError or WorkloadError where a cell cannot be trained.
    """
    kinds: dict[str, list[Cell]] = defaultdict(list)
    for cell in plan.to_run:
        kinds[f"{cell.setting} · {cell.schedule.label}"].append(cell)
    seconds = sum(len(cells) * _seconds(cells[0], threads) for cells in kinds.values())
    return Estimate(seconds, len(kinds))


def _seconds(cell: Cell, threads: int) -> float:
    """Seconds for `cell`, by training it for a moment on one process, few and more evaluations."""
    import torch

    torch.set_num_threads(threads)
    steps = min(_PROBE_STEPS, cell.num_steps)
    every = max(steps // _PROBE_EVALUATIONS, 1)
    _train(cell, steps, every)  # pays for what is only done once per process
    update, few = _train(cell, steps, steps)
    _, more = _train(cell, steps, every)
    evaluation = max(more - few, 0.0) / max(-(-steps // every) - 1, 1)
    setup = max(few - 2 * evaluation, 0.0)
    evaluations = 1 + -(-cell.num_steps // cell.training.eval_every)
    return setup + cell.num_steps * update + evaluations * evaluation


def _train(cell: Cell, steps: int, eval_every: int) -> tuple[float, float]:
    """Seconds per update, and seconds for everything else, of a run of `steps` updates."""
    from robustlr.training import train
    from robustlr.workloads import build_workload

    training = dataclasses.replace(
        cell.training, eval_every=eval_every, processes_per_cell=1, accelerate_config=None
    )
    probe = dataclasses.replace(cell, num_steps=steps, training=training)
    workload = build_workload(cell.workload)
    started = time.perf_counter()
    try:
        summary = train(probe, workload)[0].summary
    except RobustlrError:
        raise
    except Exception as error:
        raise WorkloadError(f"workload '{cell.workload.label}' raised {located(error)}") from error
    elapsed = time.perf_counter() - started
    return summary.wall_seconds / max(summary.steps, 1), elapsed - summary.wall_seconds
