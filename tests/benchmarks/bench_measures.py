"""Time and memory of all measures, and how much faster they are than plain pandas.

    python tests/benchmarks/bench_measures.py [large] [cells] [ratio]

large: 20 schedules × 100 learning rates × 20 seeds × 500 curve rows, 5,000 resamples
       (bounds: 60 s, 6 GiB on 2 cores).
cells: 10,000 cells × 200 curve rows, 2,000 resamples (bounds: 5 s, 2 GiB).
ratio: against tests/measures/reference.py on a grid small enough for it (bound: 10 times).

Each case runs in a process of its own; peak memory includes the input frames.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from robustlr.measures import measure
from robustlr.measures.resampling import make_plan
from robustlr.records import CURVE_SCHEMA, RUN_SCHEMA, Results
from robustlr.specs import ReportSpec

_EVERY = 10  # updates between curve rows


def synthetic(schedules: int, lrs: int, seeds: int, rows: int) -> Results:
    """A full grid of parabolas in log lr with noise and a cliff; curves decay exponentially."""
    generator = np.random.default_rng(0)
    shape = (schedules, lrs, seeds)
    total = int(np.prod(shape))
    schedule, lr, seed = np.unravel_index(np.arange(total), shape)
    decades = (lr / lrs - 0.45 - 0.01 * (schedule % 5)) * 4.0
    final = 0.4 + 0.02 * (schedule % 7) + (0.05 + 0.02 * (schedule % 6)) * decades**2
    final = final + 0.01 * (generator.normal(size=seeds)[seed] + generator.normal(size=total))
    diverged = (lr > 0.9 * lrs) & (generator.random(total) < 0.5)
    known = pl.Series(~diverged)
    labels = ["fixed", *(f"schedule {i}" for i in range(1, schedules))]
    key = pl.Series("key", [f"{i:020x}" for i in range(total)])
    columns = {
        "key": key,
        "setting": "synthetic",
        "workload": "synthetic",
        "optimizer": "sgd",
        "batch_size": 32,
        "num_steps": _EVERY * (rows - 1),
        "schedule": np.array(labels)[schedule],
        "lr_index": lr,
        "peak_lr": 10.0 ** (4.0 * lr / lrs - 3.0),
        "seed": seed,
        "status": np.where(diverged, "diverged", "completed"),
        "valid_loss": final,
        "test_loss": final + 0.005 * generator.normal(size=total),
        "initial_valid_loss": 2.4,
        "initial_test_loss": 2.4,
        "chance_loss": 2.3,
        "metric": "error",
    }
    runs = pl.DataFrame({n: columns.get(n) for n in RUN_SCHEMA}, schema=RUN_SCHEMA, strict=False)
    lost = [pl.when(known).then(pl.col(n)).alias(n) for n in ("valid_loss", "test_loss")]
    return Results(
        runs=runs.with_columns(lost),
        curves=_curves(key, final, rows, generator),
        points_per_decade=lrs // 4,
    )


def _curves(
    key: pl.Series, final: np.ndarray, rows: int, generator: np.random.Generator
) -> pl.DataFrame:
    total, step = len(key), np.arange(rows) * _EVERY
    u = step / step[-1]
    rate = generator.uniform(4.0, 10.0, size=(total, 1))
    loss = final[:, None] + (2.4 - final[:, None]) * np.exp(-rate * u)
    loss += 0.005 * generator.normal(size=loss.shape)
    steps = np.tile(step, total)
    loss = loss.reshape(-1)
    columns = {
        "key": key.gather(np.repeat(np.arange(total), rows)),
        "step": steps,
        "lr": np.full(len(steps), 0.1),
        "train_loss": loss,
        "grad_norm": loss + 0.1,
        "valid_loss": loss,
        "test_loss": loss,
        "valid_metric": loss,
        "test_metric": loss,
        "example_passes": steps * 32.0,
        "curvature_passes": np.zeros(len(steps)),
        "evaluation_passes": steps * 3.0,
        "wall_seconds": steps * 0.001,
    }
    return pl.DataFrame(columns, schema={"key": pl.String(), **CURVE_SCHEMA})


def timed(schedules: int, lrs: int, seeds: int, rows: int, resamples: int) -> float:
    """Seconds for all measures; prints them with the peak memory."""
    results = synthetic(schedules, lrs, seeds, rows)
    before, spent = time.perf_counter(), time.process_time()
    measure(results, ReportSpec(), resamples=resamples)
    seconds, spent = time.perf_counter() - before, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{schedules} schedules x {lrs} learning rates x {seeds} seeds x {rows} curve rows, "
        f"{resamples} resamples: {seconds:.1f} s ({spent:.1f} s of CPU), peak {peak:.2f} GiB",
        flush=True,
    )
    return seconds


def ratio() -> None:
    """Against the pandas reference, every resample computed by both."""
    sys.path.insert(0, str(Path(__file__).parents[2]))  # the repository's root
    from tests.measures.reference import reference
    from tests.measures.reference_curves import exponential

    resamples, results = 20, synthetic(3, 12, 8, 50)
    before = time.perf_counter()
    measure(results, ReportSpec(), resamples=resamples)
    fast = time.perf_counter() - before
    plan = make_plan(8, resamples=resamples)
    before = time.perf_counter()
    for weights in plan.plain.report[: 1 + resamples]:
        reference(results, ReportSpec(), seeds=np.repeat(np.arange(8), weights.astype(int)))
    for _, curve in results.curves.group_by("key"):
        exponential(curve["step"].to_numpy(), curve["valid_loss"].to_numpy())
    slow = time.perf_counter() - before
    print(
        f"3 schedules x 12 learning rates x 8 seeds x 50 curve rows, {resamples} resamples: "
        f"{fast:.2f} s, pandas reference {slow:.1f} s, {slow / fast:.0f} times"
    )


CASES = {
    "cells": lambda: timed(10, 50, 20, 200, 2000),
    "large": lambda: timed(20, 100, 20, 500, 5000),
    "ratio": ratio,
}


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--case":
        CASES[sys.argv[2]]()
        return
    for name in sys.argv[1:] or CASES:
        subprocess.run([sys.executable, __file__, "--case", name], check=True)


if __name__ == "__main__":
    main()
