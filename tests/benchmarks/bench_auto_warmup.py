"""What a test of auto_warmup costs, and what the schedule adds to an update.

    python tests/benchmarks/bench_auto_warmup.py

Milliseconds of processor time, the median of many; the decomposition is shared by runs that
test equally many points, so a test is shown with and without it. The ratios are what to compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from robustlr.schedules import AutoWarmup, Cosine, Feedback, FeedbackSchedule
from robustlr.schedules import minimum_test as mt

REPEATS = 50
UPDATES = 20_000


def milliseconds(call: Callable[[], object]) -> float:
    """Median processor time of one call."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - started)
    return float(np.median(times)) / 1e6


def per_update(schedule: FeedbackSchedule[object]) -> float:
    """Microseconds per update during the warmup of a long run, tests included."""
    state = schedule.init(2 * UPDATES)
    started = time.process_time_ns()
    for step in range(UPDATES):
        state = schedule.update(state, Feedback(step, 2.0 - step / UPDATES))
        schedule.multiplier(state)
    return (time.process_time_ns() - started) / 1e3 / UPDATES


def main() -> None:
    rng = np.random.default_rng(0)
    print("points  first test [ms]  later tests [ms]")
    for n in (32, 64, 127, 256):
        y = np.sin(3.0 * np.arange(n) / n) + 0.1 * rng.normal(size=n)

        def later(y: np.ndarray = y) -> None:
            mt.judge(y, lengthscale=0.2, votes=5)

        def first(y: np.ndarray = y) -> None:
            mt._spectrum.cache_clear()
            mt.judge(y, lengthscale=0.2, votes=5)

        print(f"{n:6d}  {milliseconds(first):15.2f}  {milliseconds(later):16.2f}")
    print("\nschedule      per update of the warmup [µs], 50 tests in 20,000")
    for schedule in (Cosine(), AutoWarmup()):
        print(f"{schedule.label:12s}  {per_update(schedule.lifted()):.1f}")


if __name__ == "__main__":
    main()
