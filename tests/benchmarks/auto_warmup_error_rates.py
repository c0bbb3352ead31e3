"""How often auto_warmup stops falsely, misses a minimum, or lands far from it: a table.

    python tests/benchmarks/auto_warmup_error_rates.py --simulations 1000 --out reports/auto-warmup

Losses are simulated as a function of the multiplier alone, with independent noise proportional to
the loss, normal or heavy-tailed; the schedule sees them as a training run would feed them to it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustlr.records import write_atomic
from robustlr.schedules import AutoWarmup, Feedback
from robustlr.schedules.auto_warmup import (
    EXPLODED,
    PASSED,
    PASSED_AT_END,
    AutoWarmupState,
)

FloatArray = NDArray[np.float64]
Curve = Callable[[FloatArray], FloatArray]
Noise = float | str
LENGTHS, NORMAL = (200, 2_000, 20_000), (0.01, 0.1, 0.3)
HEAVY_SHARE = 4  # heavy-tailed rows have so many times fewer simulations


def sigmoid(u: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-u)))


FALLING: dict[str, Curve] = {
    "flat": lambda u: 2.3 + 0.0 * u,
    "linear": lambda u: 2.3 - 2.0 * u,
    "exponential": lambda u: 0.1 + 2.2 * np.exp(-5.0 * u),
    "early exponential": lambda u: 0.1 + 2.2 * np.exp(-20.0 * u),
    "flat, then falling": lambda u: 0.3 + 2.0 * sigmoid(20.0 * (0.6 - u)),
    "sudden step": lambda u: np.where(u < 0.4, 2.3, 0.3),
}
"""Clean losses that never rise, over u, the elapsed share of the longest warmup."""


def dip(lowest: float, steepness: float) -> Curve:
    """Flat, falling around lowest − 0.2, rising quadratically in log lr from `lowest` on."""

    def curve(u: FloatArray) -> FloatArray:
        rise = np.maximum(u - lowest, 0.0) / 0.2
        return np.asarray(
            0.3 + 2.0 * sigmoid(25.0 * (lowest - 0.2 - u)) + np.minimum(steepness * rise**2, 20.0)
        )

    return curve


DIPS: dict[str, tuple[Curve, float]] = {
    "slow rise": (dip(0.6, 0.6), 0.6),
    "rise as steep as the fall": (dip(0.6, 2.0), 0.6),
    "steep rise": (dip(0.7, 10.0), 0.7),
    "vee": (lambda u: 0.3 + 4.0 * np.abs(u - 0.5), 0.5),
    "explosion": (
        lambda u: 0.3 + 2.0 * sigmoid(25.0 * (0.4 - u)) + 10.0 ** np.clip(60 * (u - 0.6), 0, 6) - 1,
        0.6,
    ),
}
"""Clean losses with their lowest point: the best multiplier is q^(1 − lowest)."""


HEAVY_TAILED: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "lognormal, σ = 1": lambda draw, n: np.exp(draw.normal(size=n) - 0.5),
    "3 in 100 losses 300-fold": lambda draw, n: np.where(draw.random(n) < 0.03, 30.0, 0.1) / 0.997,
    "Student's t, 3 degrees, 10 %": lambda draw, n: 1.0 + 0.1 * draw.standard_t(3, size=n),
}
"""Factors of mean 1 on clean losses: what small batches, rare classes and outliers make."""


def simulate(
    schedule: AutoWarmup, curve: Curve, num_steps: int, noise: Noise, seed: int, scale: float = 1.0
) -> AutoWarmupState:
    """The state after the longest warmup on a noisy `curve`.

    noise: the standard deviation of normal noise, or a key of HEAVY_TAILED.
    """
    steps = schedule.warmup_steps(num_steps) + 1
    clean = curve(np.arange(steps) / (steps - 1))
    draw = np.random.default_rng(seed)
    if isinstance(noise, str):
        factors = HEAVY_TAILED[noise](draw, steps)
    else:
        factors = 1.0 + noise * draw.normal(size=steps)
    losses = scale * clean * factors
    state = schedule.init(num_steps)
    for step, loss in enumerate(losses.tolist()):
        state = schedule.update(state, Feedback(step, loss))
        if state.switch_step is not None:
            break
    return state


def stopped(state: AutoWarmupState) -> bool:
    """Whether the warmup took the minimum for passed."""
    return state.reason in (PASSED, PASSED_AT_END, EXPLODED)


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of the simulations: see the table's columns."""

    false_stops: float
    missed_stops: float
    within_factor_3: float


def rates(num_steps: int, noise: Noise, simulations: int) -> Rates:
    """Error rates over `simulations` runs of falling losses and as many of losses with a dip."""
    schedule = AutoWarmup()
    falls = [
        stopped(simulate(schedule, curve, num_steps, noise, seed))
        for curve, seed in _spread(list(FALLING.values()), simulations)
    ]
    missed, near = [], []
    for (curve, lowest), seed in _spread(list(DIPS.values()), simulations):
        state = simulate(schedule, curve, num_steps, noise, seed)
        best = schedule.min_multiplier ** (1.0 - lowest)
        missed.append(not stopped(state))
        near.append(abs(math.log((state.multiplier or 1.0) / best)) <= math.log(3.0))
    return Rates(float(np.mean(falls)), float(np.mean(missed)), float(np.mean(near)))


def _spread(curves: list[Any], simulations: int) -> list[tuple[Any, int]]:
    return [(curves[seed % len(curves)], seed) for seed in range(simulations)]


def row(num_steps: int, noise: Noise, simulations: int) -> tuple[str, float]:
    """A line of a table, and the processor time it took."""
    started = time.process_time()
    found = rates(num_steps, noise, simulations)
    line = (
        f"| {num_steps:,} | {noise if isinstance(noise, str) else f'{noise:.0%}'} "
        f"| {simulations:,} | {found.false_stops:.1%} | {found.missed_stops:.1%} "
        f"| {found.within_factor_3:.1%} |"
    )
    return line, time.process_time() - started


def tables(simulations: int, processes: int) -> tuple[str, str, float]:
    """The rates as Markdown, under normal and heavy-tailed noise, and the processor time."""
    kinds = [(tuple(NORMAL), simulations), (tuple(HEAVY_TAILED), simulations // HEAVY_SHARE)]
    head = (
        "| updates | noise | simulations | false stops | missed stops "
        "| within a factor 3 of the best |\n|---:|---:|---:|---:|---:|---:|\n"
    )
    with ProcessPoolExecutor(processes) as pool:
        asked = [
            [pool.submit(row, steps, noise, count) for steps, noise in product(LENGTHS, noises)]
            for noises, count in kinds
        ]
        made = [[one.result() for one in rows] for rows in asked]
    normal, heavy = (head + "\n".join(line for line, _ in rows) for rows in made)
    return normal, heavy, sum(seconds for rows in made for _, seconds in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    simulations = arguments.simulations
    normal, heavy, seconds = tables(simulations, arguments.processes)
    falling, dips = ", ".join(FALLING), ", ".join(DIPS)
    text = (
        "# auto_warmup: error rates on simulated losses\n\n"
        "As many simulations of each kind of loss, default options, seeds from 0; "
        "noise is the standard deviation of one loss relative to its mean. False stops: a switch "
        f"back on a loss that never rises ({falling}). Missed stops: none by the end of the "
        f"longest warmup on a loss with a minimum ({dips}). The last column is the share of these "
        "in which the learning rate after the switch is within a factor 3 of the best one.\n\n"
        f"{normal}\n\n"
        "## Heavy tails\n\n"
        "The same losses times independent factors of mean 1, as small batches, rare classes and "
        "outliers make them. Where most of the loss comes from a few updates, a run shows its "
        "minimum late or not at all.\n\n"
        f"{heavy}\n\n"
        "Remade by `python tests/benchmarks/auto_warmup_error_rates.py "
        f"--simulations {simulations} --out reports/auto-warmup` "
        f"({seconds:.0f} s of processor time).\n"
    )
    if arguments.out is None:
        print(text)
    else:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_atomic(arguments.out / "error-rates.md", text.encode())


if __name__ == "__main__":
    main()
