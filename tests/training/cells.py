"""Small cells to train in tests."""

from __future__ import annotations

from typing import Any

from robustlr.schedules import parse
from robustlr.specs import SGD, Cell, OptimizerSpec, TrainingSpec, WorkloadSpec

REGRESSION = "tests.workloads.samples:Regression"


def digits_cell(
    schedule: str = "cosine",
    *,
    seed: int = 0,
    num_steps: int = 40,
    batch_size: int = 64,
    lr_exponent: str = "-1",
    hidden: tuple[int, ...] = (16,),
    optimizer: OptimizerSpec | None = None,
    **training: Any,
) -> Cell:
    """The handwritten digits with a small network."""
    return Cell(
        workload=WorkloadSpec(kind="digits_mlp", options={"hidden": list(hidden)}),
        optimizer=optimizer or SGD(momentum=0.9),
        schedule=parse(schedule),
        batch_size=batch_size,
        num_steps=num_steps,
        lr_exponent=lr_exponent,
        seed=seed,
        training=TrainingSpec(**training),
    )


def sample_cell(
    factory: str = REGRESSION, *, num_steps: int = 10, lr_exponent: str = "-2", **training: Any
) -> Cell:
    """A workload of tests.workloads.samples, eight examples per update."""
    return Cell(
        workload=WorkloadSpec(factory=factory),
        optimizer=SGD(),
        schedule=parse("fixed"),
        batch_size=8,
        num_steps=num_steps,
        lr_exponent=lr_exponent,
        seed=0,
        training=TrainingSpec(**training),
    )
