"""What the overshoot before the switch costs: the same learning rate on fresh weights, a table.

    python tests/benchmarks/auto_warmup_overshoot.py --out reports/auto-warmup

Runs of `large-batch-digits` with auto_warmup under its largest lr_max, beside controls that begin
with the same initial weights, the learning rate that the warmup picked, and the updates that were
left to it: they have all of the run but the overshoot. Dead units are hidden ones that are 0 on
every training example after the last update; none is at the start of a run.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import nn

from robustlr.records import write_atomic
from robustlr.schedules import AutoWarmup, Cosine
from robustlr.specs import Cell, find_study_file, load_study
from robustlr.training import train
from robustlr.workloads.digits_mlp import DigitsMLP

STUDY, LEAST_UPDATES = "large-batch-digits", 500


class Kept(DigitsMLP):
    """Keeps the network that it made last."""

    def model(self, seed: int) -> nn.Module:
        network = super().model(seed)
        object.__setattr__(self, "network", network)
        return network

    def dead(self) -> float:
        """Share of the hidden units that are 0 on every training example."""
        network: nn.Module = self.network  # type: ignore[attr-defined]
        values, silent = self.examples("train", 0).tensors[0], []
        with torch.no_grad():
            for layer in network.children():
                values = layer(values)
                if isinstance(layer, nn.ReLU):
                    silent.append((values == 0.0).all(dim=0))
        return float(torch.cat(silent).double().mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One seed: the learning rates reached and picked, and test loss and dead units of a run with
    the overshoot and of one without."""

    reached: float
    picked: float
    loss: float
    dead: float
    fresh_loss: float
    fresh_dead: float


def pair(cell: Cell) -> Pair:
    """`cell` as it is, and on fresh weights from the switch on."""
    workload = Kept(hidden=tuple(cell.workload.options["hidden"]))
    record, _ = train(cell, workload)
    loss, dead, outcome = record.summary.test_loss, workload.dead(), record.outcome
    picked = cell.peak_lr * float(outcome["warmup_multiplier"] or math.nan)
    control = dataclasses.replace(
        cell,
        schedule=Cosine(),
        num_steps=cell.num_steps - int(outcome["warmup_switch_step"] or 0),
        lr_exponent=str(Fraction(round(1000 * math.log10(picked)), 1000)),
    )
    fresh, _ = train(control, workload)
    return Pair(
        reached=cell.peak_lr * float(outcome["warmup_reached_multiplier"] or math.nan),
        picked=picked,
        loss=loss,
        dead=dead,
        fresh_loss=fresh.summary.test_loss,
        fresh_dead=workload.dead(),
    )


def cells() -> Iterator[Cell]:
    """Of auto_warmup under the largest lr_max, where the runs are long enough for its test."""
    spec = load_study(find_study_file(STUDY))
    largest = max(spec.grid)
    for cell in spec.cells():
        long = cell.num_steps >= LEAST_UPDATES
        if isinstance(cell.schedule, AutoWarmup) and long and cell.peak_lr == largest:
            yield cell


def table() -> str:
    """One row per optimizer and batch size; medians of the learning rates, means of the rest."""

    def group(cell: Cell) -> tuple[str, int]:
        return cell.optimizer.label, cell.batch_size

    lines = [
        "| optimizer | batch size | lr reached | lr picked | test loss | dead units "
        "| test loss on fresh weights | dead units |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (optimizer, batch_size), members in groupby(sorted(cells(), key=group), group):
        pairs = [pair(cell) for cell in members]
        reached, picked = (np.median([getattr(p, n) for p in pairs]) for n in ("reached", "picked"))
        loss, dead, fresh_loss, fresh_dead = (
            np.mean([getattr(p, n) for p in pairs])
            for n in ("loss", "dead", "fresh_loss", "fresh_dead")
        )
        lines.append(
            f"| {optimizer} | {batch_size} | {reached:.3g} | {picked:.3g} | {loss:.3f} "
            f"| {dead:.0%} | {fresh_loss:.3f} | {fresh_dead:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = (
        "# auto_warmup: what the overshoot costs\n\n"
        f"Runs of `{STUDY}` with auto_warmup under its largest lr_max, and the same without the "
        "overshoot: fresh weights of the same seed, a cosine from the learning rate that the "
        "warmup picked, over the updates that were left. Medians over the study's seeds of "
        "learning rates, means of the rest. Dead: hidden units that are 0 on every training "
        "example at the end.\n\n"
        f"{table()}\n\n"
        "Remade by `python tests/benchmarks/auto_warmup_overshoot.py --out reports/auto-warmup`.\n"
    )
    if arguments.out is None:
        print(text)
    else:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_atomic(arguments.out / "overshoot.md", text.encode())


if __name__ == "__main__":
    main()
