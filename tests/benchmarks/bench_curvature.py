"""What the curvature-adaptive schedule adds to a training step, and what each estimator costs.

    PYTHONPATH=. OMP_NUM_THREADS=1 python tests/benchmarks/bench_curvature.py [REPORT.md]

Everything is a ratio within one run: steps with and without are interleaved, medians taken, and
their 95 % interval found by resampling the rounds. Runs on the GPU where there is one, else on one
CPU thread. Fails where the schedule at its defaults misses a target: where the whole interval is
above it. One that lies on both sides decides nothing, which is said. With REPORT.md, the table is
written there too; --seconds shortens everything, for a look at whether it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustlr.curvature import leading_examples, make_estimator, probe_generator
from robustlr.schedules import CurvatureAdaptive
from robustlr.schedules.curvature_adaptive import ESTIMATORS
from robustlr.torch_schedulers import CurvatureAdaptiveLR, ScheduleLR
from robustlr.training.provenance import provenance
from tests.benchmarks.curvature_problems import loss_fn, mlp, resnet, sampled_loss, transformer
from tests.benchmarks.intervals import Interval
from tests.benchmarks.memory import most_allocated

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DEFAULTS = CurvatureAdaptive()
MAKERS = {
    "MLP 64-256-256-10, batch 128": (mlp, 0.08),
    "GroupNorm ResNet, 32×32, batch 64": (resnet, 0.03),
    "transformer d 128, 2 layers, 128 tokens, batch 8": (transformer, 0.03),
}
"""By name: how to make it, and the most time that the schedule may add, as a share."""
MEMORY_TARGET = 0.10
SECONDS = 80.0
"""For the whole schedule of one model; an estimator alone takes a sixteenth of it."""
ROUNDS = 8
"""At least so many, however long they take: fewer have no interval of 95 % for their median."""

Make = Callable[[], tuple[nn.Module, Tensor, Tensor]]


@dataclass
class Problem:
    """A model with its batch and optimizer, and one training step of it."""

    model: nn.Module
    batch: tuple[Tensor, Tensor]
    optimizer: torch.optim.Optimizer

    @classmethod
    def build(cls, make: Make) -> Problem:
        torch.manual_seed(0)
        model, inputs, labels = make()
        model, batch = model.to(DEVICE), (inputs.to(DEVICE), labels.to(DEVICE))
        # Momentum, so that the weights' memory is that of an ordinary run; lr 0: nothing moves.
        return cls(model, batch, torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9))

    def step(self, between: Callable[[], object] = lambda: None) -> None:
        self.optimizer.zero_grad()
        loss_fn(self.model, self.batch).backward()  # type: ignore[no-untyped-call]
        between()
        self.optimizer.step()

    def estimate(self, name: str) -> Callable[[], object]:
        """One estimate by `name` of what the schedule needs, on the default share of the batch."""
        estimator = make_estimator(name)
        part = leading_examples(self.batch, DEFAULTS.batch_fraction)
        return lambda: estimator.estimate(
            *(self.model, part, probe_generator(0, 0, 0, DEVICE)),
            loss_fn=loss_fn,
            sample_loss_fn=sampled_loss,
            diagonal=False,
        )


def seconds(run: Callable[[], object]) -> float:
    """Wall time on a GPU; on a CPU that of its one thread, which neighbours do not slow down."""
    if DEVICE.type == "cpu":
        started = time.process_time()
        run()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def ratio(run: Callable[[], object], base: Callable[[], object], budget: float) -> Interval:
    """Time of `run` over that of `base`: the median over rounds of neighbours in time."""
    run(), base()
    ratios: list[float] = []
    ends = time.perf_counter() + budget
    while time.perf_counter() < ends or len(ratios) < ROUNDS:
        ratios.append(seconds(run) / seconds(base))
    return Interval.of([[ratio] for ratio in ratios])


def peak_bytes(problem: Problem, run: Callable[[], None]) -> float:
    """Most memory held by tensors at one moment of `run`, a whole step from zero_grad on.

    Counted are weights, buffers, batch and momentum, held throughout, and all that `run` adds:
    gradients, activations, the estimate's own, and temporaries inside operations. `run` is made
    once before, so that what is only allocated the first time is there.
    """
    run()
    problem.optimizer.zero_grad()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return float(torch.cuda.max_memory_allocated())
    held = [*problem.model.parameters(), *problem.model.buffers(), *problem.batch]
    held += [s["momentum_buffer"] for s in problem.optimizer.state.values()]
    return most_allocated(run) + sum(t.nbytes for t in held)


def schedule_overhead(make: Make, budget: float) -> Interval:
    """Added time of the whole schedule at its defaults, the mean over one period's updates.

    Periods with and without it alternate. Every update is measured in medians of the plain periods
    before and after (so that a machine that slows down evenly does no harm), and its median over
    rounds taken for each place in the period: the estimate, the updates after it that find the
    caches cold, and the rest. A neighbour that takes the machine for a while spoils some updates,
    and not the ratio of whole periods. The plain periods are put through the same.
    """
    problem = Problem.build(make)
    plain = ScheduleLR(problem.optimizer, "fixed", num_steps=10**9)
    adaptive = CurvatureAdaptiveLR(
        problem.optimizer, problem.model, loss_fn, num_steps=10**9, schedule=DEFAULTS
    )

    def period(between: Callable[[], object]) -> list[float]:
        return [seconds(lambda: problem.step(between)) for _ in range(DEFAULTS.every)]

    period(lambda: adaptive.step(problem.batch))  # the first loads things
    plains, adaptives = [period(plain.step)], []
    ends = time.perf_counter() + budget
    while time.perf_counter() < ends or len(adaptives) < ROUNDS:
        adaptives.append(period(lambda: adaptive.step(problem.batch)))
        plains.append(period(plain.step))
    medians = np.median(plains, axis=1, keepdims=True)
    around = (medians[:-1] + medians[1:]) / 2.0
    return Interval.of(adaptives / around, plains[:-1] / around) - 1.0


def rows(make: Make, budget: float) -> list[tuple[str, Interval, float]]:
    """Per estimator: cost in steps, added peak memory."""
    problem, out = Problem.build(make), []
    alone = peak_bytes(problem, problem.step)
    for name in ESTIMATORS:
        estimate = problem.estimate(name)
        problem.optimizer.zero_grad()
        loss_fn(problem.model, problem.batch).backward()  # type: ignore[no-untyped-call]
        kept = [p.grad for p in problem.model.parameters()]

        def probe(estimate: Callable[[], object] = estimate, kept: Any = kept) -> None:
            for parameter, gradient in zip(problem.model.parameters(), kept, strict=True):
                parameter.grad = gradient
            estimate()

        cost = ratio(probe, problem.step, budget)
        memory = peak_bytes(problem, lambda: problem.step(estimate)) / alone - 1.0  # noqa: B023
        out.append((name, cost, memory))
    return out


def main(report: Path | None, budget: float) -> int:
    torch.set_num_threads(1)
    facts = provenance(str(DEVICE))
    share = f"1/{round(1 / DEFAULTS.batch_fraction)}"
    lines = [
        "# What the curvature-adaptive schedule costs",
        "",
        "Made by `python tests/benchmarks/bench_curvature.py reports/curvature-overhead/README.md` "
        f"on {facts['device']}, {facts['threads']} thread(s), torch {facts['torch']}, with "
        f"{os.getloadavg()[0]:.1f} other jobs at its start (times are sure only with none). Ratios "
        "within one run, rounds interleaved, medians and their 95 % intervals over rounds (on a "
        "CPU, of the thread's own time).",
        "",
        f"An estimate is made on {share} of the batch with one probe every {DEFAULTS.every} "
        "updates (the defaults). Cost: time of one estimate over that of one training step "
        "(forward, backward, SGD with momentum) on the whole batch. Memory: peak of a step with "
        "an estimate between backward and update over that of one without, both with weights, "
        "gradients, momentum, batch and temporaries; at most "
        f"{MEMORY_TARGET:.0%} more by default. (The MLP's step holds 1.5 MB, two thirds of it "
        "weights, gradients and momentum, so that a copy of the weights is 23 %; activations "
        "hide it elsewhere.)",
        "",
        "| model | estimator | cost of one, in steps | added time per step | added peak memory |",
        "|---|---|---:|---:|---:|",
    ]
    missed, open_ones = [], []
    for model, (make, limit) in MAKERS.items():
        for name, cost, memory in rows(make, budget / 16):
            times = f"{cost.shown('.2f')} | {(cost / DEFAULTS.every).shown('.1%')}"
            lines.append(f"| {model} | {name} | {times} | {memory:+.1%} |")
            print(lines[-1], flush=True)
            if name == DEFAULTS.estimator and memory > MEMORY_TARGET:
                missed.append(f"{model}: {memory:.1%} more memory, at most {MEMORY_TARGET:.0%}")
        whole = schedule_overhead(make, budget)
        verdict = whole.verdict(limit)
        label = f"whole schedule, defaults ({DEFAULTS.estimator}); at most {limit:.0%}: {verdict}"
        lines.append(f"| {model} | **{label}** | | **{whole.shown('.1%')}** | |")
        print(lines[-1], flush=True)
        told = f"{model}: {whole.shown('.1%')} more time, at most {limit:.0%}"
        if verdict != "met":
            (missed if verdict == "missed" else open_ones).append(told)
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in open_ones:
        print(f"NOT DECIDED {line}")
    print("\n".join(f"MISSED {line}" for line in missed) or "no target is missed")
    return bool(missed)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("report", type=Path, nargs="?")
    arguments.add_argument("--seconds", type=float, default=SECONDS)
    given = arguments.parse_args()
    sys.exit(main(given.report, given.seconds))
