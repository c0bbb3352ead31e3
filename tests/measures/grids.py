"""Synthetic results: small grids of runs with known truth, as `Results`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from robustlr.records import CURVE_SCHEMA, RUN_SCHEMA, Results, empty_curves


def run(
    schedule: str,
    lr_index: int,
    seed: int,
    valid: float | None,
    *,
    per_decade: int = 4,
    **more: object,
) -> dict[str, object]:
    """A row of the run frame; test equals validation unless given."""
    row: dict[str, object] = dict.fromkeys(RUN_SCHEMA) | {
        "key": f"{more.get('setting', 'setting')}/{schedule}/{lr_index}/{seed}",
        "setting": "setting",
        "workload": "synthetic",
        "optimizer": "sgd",
        "batch_size": 32,
        "num_steps": 100,
        "schedule": schedule,
        "lr_index": lr_index,
        "peak_lr": 10.0 ** (lr_index / per_decade),
        "seed": seed,
        "status": "completed" if valid is not None else "diverged",
        "valid_loss": valid,
        "test_loss": valid,
        "valid_metric": valid,
        "test_metric": valid,
        "initial_valid_loss": 2.5,
        "initial_test_loss": 2.5,
        "chance_loss": 2.3,
        "metric": "error",
        "outcome": "{}",
    }
    return row | more


def results(
    rows: Sequence[dict[str, object]], curves: pl.DataFrame | None = None, *, per_decade: int = 4
) -> Results:
    """Rows as Results."""
    return Results(
        runs=pl.DataFrame(rows, schema=RUN_SCHEMA, strict=False),
        curves=empty_curves() if curves is None else curves,
        points_per_decade=per_decade,
    )


def grid(
    value: Callable[[str, int, int], float | None],
    *,
    schedules: Sequence[str] = ("fixed", "cosine"),
    lrs: Sequence[int] = range(-8, 1),
    seeds: Sequence[int] = range(6),
    **more: object,
) -> list[dict[str, object]]:
    """A full grid; value(schedule, lr_index, seed) is the loss, None where it diverged."""
    return [run(s, i, k, value(s, i, k), **more) for s in schedules for i in lrs for k in seeds]


def random_rows(
    generator: np.random.Generator,
    *,
    ragged: bool,
    widest: int = 10,
    setting: str = "setting",
    num_steps: int = 100,
) -> list[dict[str, object]]:
    """A small random grid: noise, divergence, values above chance; with holes where ragged."""
    schedules = ["fixed", "cosine", "linear · 1"][: generator.integers(1, 4)]
    width, seeds = generator.integers(1, widest + 1), generator.integers(1, 8)
    rows = []
    for s, name in enumerate(schedules):
        centre = generator.uniform(0, width)
        for i in range(width):
            for k in range(seeds):
                if ragged and generator.random() < 0.2:
                    continue
                valid = 0.5 + 0.1 * s + 0.05 * (i - centre) ** 2 + 0.2 * generator.normal()
                test = valid + 0.1 * generator.normal()
                diverged = generator.random() < 0.1
                rows.append(
                    run(
                        name,
                        i - 5,
                        k,
                        None if diverged else valid,
                        test_loss=None if diverged else test,
                        valid_metric=None if diverged else valid / 3,
                        test_metric=None if diverged else test / 3,
                        optimum_loss=0.05,
                        setting=setting,
                        num_steps=num_steps,
                    )
                )
    return rows or [run("fixed", 0, 0, 1.0, setting=setting, num_steps=num_steps)]


def exponential_curves(
    runs: Sequence[dict[str, object]], *, points: int = 12, every: int = 10, noise: float = 0.02
) -> pl.DataFrame:
    """Curves that decay from the initial loss to each run's final loss; none after divergence."""
    frames = []
    for number, row in enumerate(runs):
        generator = np.random.default_rng(number)
        step = np.arange(points) * every
        final = row["valid_loss"]
        length = points if final is not None else max(points // 3, 1)
        end = 2.0 if final is None else float(final)  # type: ignore[arg-type]
        loss = end + (2.5 - end) * np.exp(-step / (2.5 * every))
        loss = loss + noise * generator.normal(size=points)
        if final is not None:
            loss[-1] = end
        frames.append(
            pl.DataFrame(
                {
                    "key": [row["key"]] * length,
                    "step": step[:length],
                    "lr": np.full(length, 0.1),
                    "train_loss": loss[:length],
                    "grad_norm": np.exp(-step[:length] / 50) * generator.uniform(0.5, 1.5, length),
                    "valid_loss": loss[:length],
                    "test_loss": loss[:length],
                    "valid_metric": loss[:length] / 3,
                    "test_metric": loss[:length] / 3,
                    "example_passes": step[:length] * 32.0,
                    "curvature_passes": step[:length] * (number % 3),
                    "evaluation_passes": step[:length] * 7.0,
                    "wall_seconds": step[:length] * generator.uniform(0.01, 0.02),
                },
                schema={"key": pl.String(), **CURVE_SCHEMA},
                strict=False,
            )
        )
    return pl.concat(frames)
