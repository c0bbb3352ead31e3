"""What a test of auto_warmup costs, what the schedule adds to an update, and the share of studies.

    python tests/benchmarks/bench_auto_warmup.py [EVERY]

Processor time throughout. A test is shown as a fall (settled by the losses themselves), whole (the
process fitted, all votes asked) and first (the decomposition made too, which runs that test
equally many points share). The share is the time inside tests over the whole time of a study's
cells, evaluation included: of every EVERY-th cell of each schedule, optimizer and batch size. What
a process makes once (the first test of every number of points) is measured apart and counted once
for each of two processes that share the study. Limits: 5 ms for the first whole test at 256 points,
0.5 % of a study. Exit status 1 where one is broken.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import groupby
from typing import Any

import numpy as np
import torch

from robustlr.schedules import (
    AutoWarmup,
    Cosine,
    Feedback,
    FeedbackSchedule,
    auto_warmup,
    loss_rise,
)
from robustlr.schedules import minimum_test as mt
from robustlr.schedules.loss_blocks import MAX_BLOCKS
from robustlr.specs import Cell, StudySpec, find_study_file, load_study
from robustlr.training import train
from robustlr.workloads import build_workload

REPEATS, PROCESSES = 50, 2
UPDATES = 20_000
LIMIT_MILLISECONDS, LIMIT_SHARE = 5.0, 0.005


def milliseconds(call: Callable[[], object]) -> float:
    """Median processor time of one call."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - started)
    return float(np.median(times)) / 1e6


def costs_of_a_test(n: int) -> tuple[float, float, float]:
    """Milliseconds of a test of n points: a fall, whole, and first."""
    noise = 0.1 * np.random.default_rng(0).normal(size=n)
    fall = tuple((2.0 - np.arange(n) / n + noise).tolist())
    dip = tuple((np.sin(3.0 * np.arange(n) / n) + noise).tolist())

    def whole() -> None:
        mt.judge(dip, lengthscale=0.2, votes=5)

    def first() -> None:
        mt._spectrum.cache_clear()
        whole()

    def settled() -> None:
        mt.confirmed(fall, lengthscale=0.2, votes=5)

    return milliseconds(settled), milliseconds(whole), milliseconds(first)


def make_what_is_shared() -> float:
    """Milliseconds that a process spends once, at most: the first test of every possible size."""
    mt._spectrum.cache_clear()
    loss_rise._windows.cache_clear()
    started = time.process_time_ns()
    for n in range(mt.MIN_POINTS, MAX_BLOCKS):
        mt.judge(list(range(n)), lengthscale=0.2, votes=5)
        mt.confirmed(list(range(n)), lengthscale=0.2, votes=5)
    return (time.process_time_ns() - started) / 1e6


def per_update(schedule: FeedbackSchedule[object]) -> float:
    """Microseconds per update during the warmup of a long run, tests included."""
    state = schedule.init(2 * UPDATES)
    started = time.process_time_ns()
    for step in range(UPDATES):
        state = schedule.update(state, Feedback(step, 2.0 - step / UPDATES))
        schedule.multiplier(state)
    return (time.process_time_ns() - started) / 1e3 / UPDATES


@contextmanager
def clocked() -> Iterator[list[float]]:
    """One entry, the seconds inside tests, as long as this lasts."""
    spent = [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[0] += time.process_time() - started

        return call

    kept = auto_warmup.confirmed, auto_warmup.judge
    auto_warmup.confirmed, auto_warmup.judge = timed(kept[0]), timed(kept[1])
    try:
        yield spent
    finally:
        auto_warmup.confirmed, auto_warmup.judge = kept


def sample(spec: StudySpec, every: int) -> list[Cell]:
    """Every so many cells of each schedule, optimizer and batch size, by batch size."""

    def group(cell: Cell) -> tuple[int, str, str]:
        return cell.batch_size, cell.schedule.label, str(cell.optimizer)

    cells = sorted(spec.cells(), key=group)
    return [cell for _, members in groupby(cells, group) for cell in list(members)[::every]]


def share_of(spec: StudySpec, every: int, once: float) -> float:
    """Prints the share of each batch size, and returns that of all with what is made once.

    once: milliseconds, in each of the processes.
    """
    workload = build_workload(spec.workload[0])
    cells = sample(spec, every)
    tests = whole = 0.0
    for batch_size, members in groupby(cells, lambda cell: cell.batch_size):
        chosen = list(members)
        spent = {True: [0.0, 0.0], False: [0.0, 0.0]}
        for cell in chosen:
            own = spent[isinstance(cell.schedule, AutoWarmup)]
            with clocked() as inside:
                started = time.process_time()
                train(cell, workload)
                own[1] += time.process_time() - started
            own[0] += inside[0]
        total = spent[True][1] + spent[False][1]
        print(
            f"{spec.name:20s} {batch_size:6d} {len(chosen):6d} "
            f"{spent[True][0] / spent[True][1]:23.2%} {spent[True][0] / total:10.2%}"
        )
        tests, whole = tests + spent[True][0], whole + total
    scale = len(list(spec.cells())) / len(cells)
    tests, whole = scale * tests + PROCESSES * once / 1e3, scale * whole + PROCESSES * once / 1e3
    print(f"{spec.name:20s} {'all, and once':>13s} {'':23s} {tests / whole:10.2%}")
    return tests / whole


def main(every: int) -> int:
    torch.set_num_threads(1)
    print("points  fall [ms]  whole [ms]  first [ms]")
    for n in (32, 64, 127, 256):
        fall, whole, first = costs_of_a_test(n)
        print(f"{n:6d}  {fall:9.3f}  {whole:10.2f}  {first:10.2f}")
    print("\nschedule      per update of the warmup [µs], 50 tests in 20,000")
    for schedule in (Cosine(), AutoWarmup()):
        print(f"{schedule.label:12s}  {per_update(schedule.lifted()):.1f}")
    once = make_what_is_shared()
    print(f"\nonce per process, at most: {once:.0f} ms")
    print(f"\n{'study':20s} {'batch':>6s} {'cells':>6s} {'of auto_warmup':>23s} {'of all':>10s}")
    specs = [load_study(find_study_file(name)) for name in ("digits", "large-batch-digits")]
    shares = [share_of(spec, every, once) for spec in specs]
    return int(first > LIMIT_MILLISECONDS or max(shares) > LIMIT_SHARE)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 23))
