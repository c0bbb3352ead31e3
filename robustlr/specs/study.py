"""A whole study: axes of cells, and how to train, execute and report them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from robustlr.errors import SpecError, did_you_mean
from robustlr.schedules import AnySchedule, to_table
from robustlr.specs.cell import Cell, WorkloadSpec
from robustlr.specs.execution import ExecutionSpec
from robustlr.specs.grid import LearningRateGrid
from robustlr.specs.optimizer import SGD, OptimizerSpec
from robustlr.specs.report import ReportSpec
from robustlr.specs.training import TrainingSpec
from robustlr.validation import parse_table

_AXES = ("workload", "optimizer", "schedule", "batch_size", "num_steps", "num_examples")
_MOST_SEEDS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySpec:
    """The product of its axes is the set of its cells.

    question: what the study asks, in a sentence; the report opens with it.
    workload, optimizer, schedule, batch_size, seeds: axes. grid: the learning rates.
    num_steps: T in updates (an axis too), or num_examples: the budget in examples, from which
    T = num_examples / batch_size for every batch size.
    """

    workload: tuple[WorkloadSpec, ...]
    schedule: tuple[AnySchedule, ...]
    grid: LearningRateGrid
    seeds: tuple[int, ...]
    batch_size: tuple[int, ...]
    num_steps: tuple[int, ...] = ()
    num_examples: tuple[int, ...] = ()
    optimizer: tuple[OptimizerSpec, ...] = (SGD(),)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    execution: ExecutionSpec = field(default_factory=ExecutionSpec)
    report: ReportSpec = field(default_factory=ReportSpec)
    name: str = "study"
    question: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name.startswith(".") or not self.name.isprintable():
            raise SpecError(f"name must be a plain name, got {self.name!r}")
        if "/" in self.name or "\\" in self.name:
            raise SpecError(f"name must not hold a slash, got '{self.name}'")
        for axis in ("workload", "schedule", "seeds", "batch_size", "optimizer"):
            if not getattr(self, axis):
                raise SpecError(f"{axis} must name at least one, got []")
        if bool(self.num_steps) == bool(self.num_examples):
            given = "both" if self.num_steps else "neither"
            raise SpecError(f"give either num_steps or num_examples, got {given}")
        for axis in ("num_steps", "num_examples", "batch_size"):
            for value in getattr(self, axis):
                if not 1 <= value < 2**31:
                    raise SpecError(f"{axis} must be between 1 and {2**31 - 1}, got {value}")
        if len(self.seeds) > _MOST_SEEDS:
            raise SpecError(f"seeds must be at most {_MOST_SEEDS}, got {len(self.seeds)} or more")
        for seed in self.seeds:
            if not 0 <= seed < 2**31:
                raise SpecError(f"seeds must be between 0 and {2**31 - 1}, got {seed}")
        if self.num_examples and min(self.num_examples) < max(self.batch_size):
            raise SpecError(
                f"num_examples {min(self.num_examples)} is smaller than "
                f"one batch of {max(self.batch_size)}"
            )
        for axis in ("seeds", "batch_size", "num_steps", "num_examples"):
            _require_distinct(axis, [str(value) for value in getattr(self, axis)])
        _require_distinct("schedule", self.schedule_labels)
        for axis in ("workload", "optimizer"):
            labels = [choice.label for choice in getattr(self, axis)]
            _require_distinct(axis, labels, hint="; give each a label")
        if self.report.baseline not in self.schedule_labels:
            raise SpecError(
                f"report.baseline '{self.report.baseline}' is not one of the schedules; "
                + did_you_mean(self.report.baseline, self.schedule_labels)
            )
        gpus, share = self.execution.slurm.gpus_per_worker, self.training.processes_per_cell
        if gpus not in (0, share):
            raise SpecError(
                f"execution.slurm.gpus_per_worker must be 0 or what a cell uses, {share} "
                f"(training.processes_per_cell), got {gpus}"
            )
        if self.training.accelerate_config is not None:
            for schedule in self.schedule:
                request = schedule.curvature_request
                if request is not None and request.estimator == "hutchinson":
                    raise SpecError(
                        f"schedule '{schedule.label}': FSDP has no double backward, which "
                        "hutchinson needs: use estimator = 'gauss_newton' or 'finite_difference'"
                    )
        group = self.training.processes_per_cell * self.training.accumulation_steps
        for size in self.batch_size:
            if size % group:
                raise SpecError(
                    f"batch_size {size} must be divisible by "
                    f"processes_per_cell x accumulation_steps = {group}"
                )

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, where: str = "") -> StudySpec:
        """A study file's table as a spec. Raises SpecError naming every bad key."""
        try:
            normalised = _normalised(table)
        except SpecError as error:
            raise SpecError(f"{where}: {error}" if where else str(error)) from error
        axes = (*_AXES, "seeds")
        bare = [axis for axis in axes if not isinstance(table.get(axis, []), list | tuple)]
        return parse_table(cls, normalised, where=where, bare=bare)

    def table(self) -> dict[str, Any]:
        """JSON-ready, every field written out; `from_table` is the inverse, but for a password."""
        table = dataclasses.asdict(self)
        table["execution"]["storage"] = self.execution.public_storage()
        table["schedule"] = [to_table(schedule) for schedule in self.schedule]
        return table

    @property
    def schedule_labels(self) -> list[str]:
        return [schedule.label for schedule in self.schedule]

    def cells(self) -> Iterator[Cell]:
        """Every cell once, seeds outermost: after the first pass each schedule has one seed."""
        for seed, workload, optimizer, (batch_size, num_steps), schedule, exponent in product(
            self.seeds,
            self.workload,
            self.optimizer,
            self.budgets(),
            self.schedule,
            self.grid.exponents,
        ):
            yield Cell(
                workload=workload,
                optimizer=optimizer,
                schedule=schedule,
                batch_size=batch_size,
                num_steps=num_steps,
                lr_exponent=str(exponent),
                seed=seed,
                training=self.training,
            )

    def budgets(self) -> list[tuple[int, int]]:
        """Every (batch size, number of updates)."""
        if self.num_steps:
            return list(product(self.batch_size, self.num_steps))
        return [(size, total // size) for size in self.batch_size for total in self.num_examples]


def _normalised(table: Mapping[str, Any]) -> dict[str, Any]:
    """`[workload]` is `[[workload]]`, `64` is `[64]`, and n seeds are 0 to n − 1."""
    out = dict(table)
    for axis in _AXES:
        if axis in out and not isinstance(out[axis], list | tuple):
            out[axis] = [out[axis]]
    if "workload" in out:
        out["workload"] = [WorkloadSpec.gather(choice) for choice in out["workload"]]
    seeds = out.get("seeds")
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if seeds < 1:
            raise SpecError(f"seeds must be at least 1, got {seeds}")
        out["seeds"] = list(range(min(seeds, _MOST_SEEDS + 1)))
    elif not isinstance(seeds, list | tuple | None):
        out["seeds"] = [seeds]
    return out


def _require_distinct(axis: str, labels: list[str], *, hint: str = "") -> None:
    label, count = Counter(labels).most_common(1)[0] if labels else ("", 1)
    if count > 1:
        raise SpecError(f"{axis} names '{label}' {count} times{hint}")
