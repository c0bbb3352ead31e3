"""Synthetic results over batch sizes: the tuned lr is known, and so is what a warmup picks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from robustlr.records import Results
from tests.report.synthetic import Valley, synthetic

BATCH_SIZES = (32, 125, 500, 1000)
PER_DECADE = 2
BASELINE, AUTO = "cosine+warmup", "auto_warmup"
OPTIMA: Mapping[str, float] = {"sgd": -1.0, "AdamP": -2.5}
"""log₁₀ of the baseline's tuned learning rate at the smallest batch size."""


def over_batch_sizes(
    *,
    optimizers: Sequence[str] = tuple(OPTIMA),
    batch_sizes: Sequence[int] = BATCH_SIZES,
    schedules: Sequence[str] = (AUTO, BASELINE),
    num_examples: Sequence[int] = (64_000,),
    workload: str = "digits_mlp",
    seeds: int = 3,
    growth: float = 0.5,
    indices: Sequence[int] = range(-6, 5),
) -> Results:
    """The baseline's tuned lr grows by `growth` decades from one batch size to the next.

    auto_warmup picks a third of that tuned lr, exactly at seed 1, a tenth lower and higher beside
    it; where lr_max is lower, its test never fires and it picks lr_max.
    """
    parts = []
    for optimizer in optimizers:
        for place, size in enumerate(batch_sizes):
            for examples in num_examples:
                best = OPTIMA[optimizer] + growth * place
                cosine = Valley(optimum=best, floor=0.1 + 0.03 * place, cliff=best + 1.2)
                flat = Valley(optimum=best, floor=0.12 + 0.03 * place, right=0.0, cliff=9)
                steps = examples // size
                part = synthetic(
                    {name: flat if name == AUTO else cosine for name in schedules},
                    indices=indices,
                    per_decade=PER_DECADE,
                    seeds=seeds,
                    num_steps=steps,
                    settings=[f"{workload} · {optimizer} · batch {size} · {steps} updates"],
                )
                mark = f"{workload}-{optimizer}-{size}-{steps}-"
                runs = part.runs.with_columns(
                    key=mark + pl.col("key"),
                    optimizer=pl.lit(optimizer),
                    batch_size=pl.lit(size, pl.Int64),
                )
                outcomes = [_outcome(row, 10**best / 3) for row in runs.iter_rows(named=True)]
                parts.append(
                    (
                        runs.with_columns(outcome=pl.Series(outcomes, dtype=pl.String)),
                        part.curves.with_columns(key=mark + pl.col("key")),
                    )
                )
    return Results(
        runs=pl.concat([runs for runs, _ in parts]),
        curves=pl.concat([curves for _, curves in parts]),
        points_per_decade=PER_DECADE,
    )


def _outcome(row: Mapping[str, object], best: float) -> str:
    if row["schedule"] != AUTO:
        return "{}"
    highest, seed = float(str(row["peak_lr"])), int(str(row["seed"]))
    wanted = best * (1 + 0.1 * float(np.clip(seed - 1, -1, 1)))
    fired = wanted < highest
    return json.dumps(
        {
            "warmup_switch_step": 40,
            "warmup_reason": "minimum_passed" if fired else "test_never_fired",
            "warmup_multiplier": wanted / highest if fired else 1.0,
        }
    )
