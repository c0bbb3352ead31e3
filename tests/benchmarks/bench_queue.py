"""What the queue costs at 10,000 trivial cells, with two workers, on both storages.

    PYTHONPATH=. python tests/benchmarks/bench_queue.py [CELLS]

Targets: enqueued in less than 10 s; at most 15 ms per cell of each worker for claiming and telling
it, at any length of the queue; less than 50 MB of storage. Then: cells per second of two workers
with one thread each, against one, on cells that only compute; target 1.8 on two idle cores.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from robustlr.records import RunPaths, RunRecord
from robustlr.specs import Cell, StudySpec
from robustlr.study import CellQueue, open_queue, prepare, work
from tests.postgres import running_server
from tests.small_study import record_of, small_spec

_PARTS = 5  # of the queue's length, over which its cost is told


def study_of(cells: int, storage: str) -> StudySpec:
    return small_spec(seeds=-(-cells // 4), execution={"storage": storage})


def in_processes(workers: int, target: Any, *arguments: Any) -> list[Any]:
    """What `target` answers in each of `workers` processes that begin together."""
    context = multiprocessing.get_context("spawn")
    results, barrier = context.Queue(), context.Barrier(workers)
    processes = [
        context.Process(target=target, args=(str(worker), barrier, results, *arguments))
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return answers


def drain(worker: str, barrier: Any, results: Any, root: Path, spec: StudySpec) -> None:
    """Seconds that each cell cost, in order: claimed, found to be still ours, told."""
    queue = open_queue(spec, RunPaths(root))
    seconds = []
    barrier.wait()
    while True:
        started = time.perf_counter()
        claim = queue.claim(worker)
        if claim is None:
            break
        queue.holds(claim)
        queue.complete(claim, 1.0)
        seconds.append(time.perf_counter() - started)
    results.put(seconds)


def megabytes(paths: RunPaths, storage: str) -> float:
    if not storage:
        return paths.journal.stat().st_size / 1e6
    import psycopg

    with psycopg.connect(storage) as connection:
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size is not None
    return float(size[0]) / 1e6


def queue_cost(cells: int, storage: str) -> None:
    spec = study_of(cells, storage)
    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(Path(folder))
        started = time.perf_counter()
        prepare(spec, paths)
        enqueued = time.perf_counter() - started
        queue: CellQueue = open_queue(spec, paths)
        keys = {cell.key for cell in spec.cells()}
        started = time.perf_counter()
        tally = queue.tally(keys)
        look = time.perf_counter() - started
        assert tally.waiting == len(keys)
        both = in_processes(2, drain, paths.root, spec)
        size = megabytes(paths, storage)
        assert queue.tally(keys).waiting == 0
    name = "PostgreSQL" if storage else "journal"
    print(f"{name}: {len(keys)} cells enqueued in {enqueued:.1f} s (target 10), {size:.0f} MB (50)")
    print(f"  the driver's look at all of them: {1e3 * look:.0f} ms")
    for part in range(_PARTS):
        costs = [
            cost
            for seconds in both
            for cost in seconds[part * len(seconds) // _PARTS :][: len(seconds) // _PARTS]
        ]
        waiting = len(keys) * (_PARTS - part) // _PARTS
        print(
            f"  {waiting:6d} waiting: mean {1e3 * statistics.fmean(costs):5.2f} ms per cell, "
            f"95 % below {1e3 * statistics.quantiles(costs, n=20)[-1]:5.2f} ms (target 15)"
        )


def compute(cell: Cell) -> tuple[RunRecord, pl.DataFrame]:
    """Fifty milliseconds of arithmetic in one thread."""
    generator = np.random.default_rng(cell.seed)
    for _ in range(100):
        np.sort(generator.standard_normal(8_000))
    return record_of(cell), pl.DataFrame({"step": [cell.num_steps]})


def compute_all(worker: str, barrier: Any, results: Any, root: Path, storage: str) -> None:
    barrier.wait()
    started = time.perf_counter()
    count = work(RunPaths(root), worker, compute, storage=storage)
    results.put((count, time.perf_counter() - started))


def speed(workers: int, storage: str, name: str) -> float:
    """Cells per second of `workers` processes."""
    spec = small_spec(seeds=100, name=name, execution={"storage": storage})
    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(Path(folder))
        prepare(spec, paths)
        done = in_processes(workers, compute_all, paths.root, storage)
    return sum(count for count, _ in done) / max(seconds for _, seconds in done)


def main(cells: int) -> None:
    with running_server() as server:
        for storage in ("", server.url):
            queue_cost(cells, storage)
        for storage in ("", server.url):
            one, two = (speed(workers, storage, f"speed{workers}") for workers in (1, 2))
            print(
                f"{'PostgreSQL' if storage else 'journal'}: {one:.1f} cells/s with one worker, "
                f"{two:.1f} with two: {two / one:.2f} times (target 1.8)"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
