"""Results with a shape one knows: a valley in log lr, steep or flat, with a cliff of divergence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from robustlr.records import CURVE_SCHEMA, RUN_SCHEMA, Results

CHANCE = 2.303


@dataclass(frozen=True, kw_only=True)
class Valley:
    """loss(lr) = floor + slope·(decades off the optimum)^power; diverges beyond the cliff.

    optimum, cliff: log₁₀ of learning rates. slow: factor on the time constant of the curve.
    """

    optimum: float = -1.0
    floor: float = 0.10
    slope: float = 0.15
    right: float = 0.15
    power: float = 2.0
    cliff: float = 0.8
    slow: float = 1.0


VALLEYS: Mapping[str, Valley] = {
    "fixed": Valley(optimum=-1.25, floor=0.16, slope=0.18, right=0.55, cliff=0.3),
    "linear": Valley(floor=0.11, slope=0.15, right=0.12, cliff=0.7),
    "cosine": Valley(floor=0.10, slope=0.14, right=0.06, cliff=0.8, slow=0.9),
    "polynomial:degree=2": Valley(optimum=-0.75, floor=0.105, slope=0.15, right=0.05, cliff=0.9),
    "wsd": Valley(floor=0.115, slope=0.16, right=0.2, cliff=0.55, slow=1.2),
    "inverse_sqrt": Valley(optimum=-1.0, floor=0.15, slope=0.17, right=0.35, cliff=0.4),
}


def synthetic(
    valleys: Mapping[str, Valley] = VALLEYS,
    *,
    indices: Sequence[int] = range(-12, 5),
    per_decade: int = 4,
    seeds: int = 6,
    settings: Sequence[str] = ("digits_mlp · sgd · batch 64 · 400 updates",),
    noise: float = 0.01,
    num_steps: int = 400,
    optimum_loss: float | None = None,
    chance: float | None = CHANCE,
    shift: float = 0.0,
    random_seed: int = 0,
) -> Results:
    """One run per setting, valley, lr index and seed, with a curve of 17 rows each.

    shift: added to every loss, to make them negative.
    """
    random = np.random.default_rng(random_seed)
    rows, curves = [], []
    steps = np.linspace(0, num_steps, 17).astype(int)
    for at, setting in enumerate(settings):
        common = random.normal(0, noise, seeds)
        for name, valley in valleys.items():
            for index in indices:
                decades = index / per_decade - valley.optimum - 0.2 * at
                slope = valley.right if decades > 0 else valley.slope
                mean = valley.floor * (1 + 0.3 * at) + slope * abs(decades) ** valley.power
                for seed in range(seeds):
                    key = f"{at}-{name}-{index}-{seed}"
                    late = index / per_decade + random.normal(0, 0.15) > valley.cliff
                    top = CHANCE + shift
                    loss = min(mean + common[seed] + random.normal(0, noise), 2.2) + shift
                    rate = 8.0 / num_steps / valley.slow * (0.3 + 0.7 / (1 + abs(decades)))
                    curve = loss + (top - loss) * np.exp(-rate * steps)
                    known = steps if not late else steps[:5]
                    curves.append(
                        pl.DataFrame(
                            {
                                "key": [key] * len(known),
                                "step": known,
                                "lr": 10 ** (index / per_decade) * (1 - known / num_steps),
                                "train_loss": curve[: len(known)],
                                "grad_norm": 0.3 + curve[: len(known)] - shift,
                                "valid_loss": curve[: len(known)],
                                "test_loss": curve[: len(known)] + 0.01,
                                "valid_metric": curve[: len(known)] / 4,
                                "test_metric": curve[: len(known)] / 4,
                                "example_passes": known * 64.0,
                                "curvature_passes": known * 0.0,
                                "evaluation_passes": known * 1.0,
                                "wall_seconds": known * 0.001,
                            },
                            schema={"key": pl.String(), **CURVE_SCHEMA},
                        )
                    )
                    final = None if late else float(curve[-1])
                    rows.append(
                        {
                            "key": key,
                            "setting": setting,
                            "workload": setting.partition(" · ")[0],
                            "optimizer": "sgd",
                            "batch_size": 64,
                            "num_steps": num_steps,
                            "schedule": name,
                            "lr_index": index,
                            "peak_lr": 10 ** (index / per_decade),
                            "seed": seed,
                            "status": "diverged" if late else "completed",
                            "valid_loss": final,
                            "test_loss": None if final is None else final + 0.01,
                            "valid_metric": None if final is None else final / 4,
                            "test_metric": None if final is None else final / 4,
                            "best_valid_loss": final,
                            "best_test_loss": final,
                            "initial_valid_loss": top,
                            "initial_test_loss": top,
                            "steps": int(known[-1]),
                            "example_passes": float(known[-1] * 64),
                            "curvature_passes": 0.0,
                            "evaluation_passes": 17.0,
                            "wall_seconds": float(known[-1]) * 0.001,
                            "chance_loss": None if chance is None else chance + shift,
                            "optimum_loss": optimum_loss,
                            "metric": "error",
                            "outcome": json.dumps({}),
                        }
                    )
    return Results(
        runs=pl.DataFrame(rows, schema=RUN_SCHEMA),
        curves=pl.concat(curves),
        points_per_decade=per_decade,
    )
