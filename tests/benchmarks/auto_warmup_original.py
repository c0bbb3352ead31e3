"""Where auto_warmup switches on simulated losses, beside the original's algorithm: a table.

    python tests/benchmarks/auto_warmup_original.py --out reports/auto-warmup

Both test once per epoch of 10 updates, at loss scales of about 1; the original is the slow version
by hand of tests/schedules/autowu_reference.py.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import torch

from robustlr.records import write_atomic
from robustlr.schedules import AutoWarmup, Feedback
from robustlr.schedules.auto_warmup import AutoWarmupState
from tests.benchmarks.auto_warmup_error_rates import DIPS
from tests.schedules.autowu_reference import Switch, first_switch

LENGTHS, NOISES, PER_EPOCH = (60, 120), (0.02, 0.1, 0.3), 10


def both(
    name: str, epochs: int, noise: float, seed: int
) -> tuple[Switch | None, AutoWarmupState, float]:
    """The original's switch, our state after the warmup, and the best learning rate.

    lr_max is 1, so that multipliers are learning rates.
    """
    curve, lowest = DIPS[name]
    num_steps = epochs * PER_EPOCH
    warmup = num_steps // 2
    eps = noise * np.random.default_rng(seed).normal(size=warmup)
    losses = curve(np.arange(warmup) / warmup) * (1.0 + eps)
    schedule = AutoWarmup(test_every=PER_EPOCH)
    state = schedule.init(num_steps)
    for step, loss in enumerate(losses.tolist()):
        state = schedule.update(state, Feedback(step, loss))
    theirs = first_switch(losses, PER_EPOCH, schedule.min_multiplier, 1.0)
    return theirs, state, schedule.min_multiplier ** (1.0 - lowest)


def row(name: str, epochs: int, noise: float) -> str:
    theirs, ours, best = both(name, epochs, noise, seed=0)
    original = "— | —" if theirs is None else f"{theirs.epoch} | {theirs.lr:.2g}"
    here = "— | —"
    if ours.switch_step is not None and ours.multiplier is not None:
        here = f"{(ours.switch_step + 1) / PER_EPOCH:g} | {ours.multiplier:.2g}"
    return f"| {name} | {epochs} | {noise:.0%} | {best:.2g} | {original} | {here} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = "\n".join(row(*case) for case in product(DIPS, LENGTHS, NOISES))
    text = (
        "# auto_warmup: beside the original\n\n"
        "One simulated run per row (seed 0): when the warmup ends, in epochs of 10 updates of "
        "which half are warmup, and the learning rate after it, for the original's algorithm and "
        "for ours. Noise is the standard deviation of one loss relative to its mean. "
        "The original is quick to take noise for a rise; where the loss explodes, ours does not "
        "wait for three tests.\n\n"
        "| loss | epochs | noise | best lr | original: epoch | lr | here: epoch | lr |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|\n"
        f"{rows}\n\n"
        "Remade by `python tests/benchmarks/auto_warmup_original.py --out reports/auto-warmup`.\n"
    )
    if arguments.out is None:
        print(text)
    else:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_atomic(arguments.out / "original.md", text.encode())


if __name__ == "__main__":
    main()
