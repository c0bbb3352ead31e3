"""What a cell costs beyond its own training steps, at 1,000 cells of the digits study.

    python tests/benchmarks/bench_orchestration.py [CELLS]

Also: the start of `robustlr --help` against that of `import typer`, and how the queue's cost per
cell grows with its length. Targets: at most 10 ms and 5 % of the study's time per cell; help at
most 3 times typer.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from robustlr.records import RunPaths, RunRecord, write_result
from robustlr.specs import Cell, StudySpec, find_study_file, load_study
from robustlr.study import RunCell, prepare, work


def study_of(cells: int) -> StudySpec:
    """The digits study with its pure schedules and as many seeds as give `cells` cells."""
    spec = load_study(find_study_file("digits"))
    pure = tuple(s for s in spec.schedule if s.label in ("fixed", "linear", "cosine"))
    per_seed = len(pure) * len(spec.grid)
    return dataclasses.replace(spec, schedule=pure, seeds=tuple(range(-(-cells // per_seed))))


def orchestration(cells: int) -> None:
    import torch

    from robustlr.training import train
    from robustlr.workloads import build_workload

    torch.set_num_threads(1)
    spec = study_of(cells)
    workload = build_workload(spec.workload[0])
    inside: list[float] = []
    steps: list[float] = []

    def run_cell(cell: Cell) -> tuple[RunRecord, pl.DataFrame]:
        started = time.perf_counter()
        result = train(cell, workload)
        inside.append(time.perf_counter() - started)
        steps.append(result[0].summary.wall_seconds)
        return result

    run_cell(next(spec.cells()))  # what is done once per worker
    inside.clear()
    steps.clear()
    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(Path(folder))
        started = time.perf_counter()
        prepare(spec, paths)
        enqueue = time.perf_counter() - started
        started = time.perf_counter()
        work(paths, "0", run_cell)
        whole = time.perf_counter() - started
    done = len(inside)
    queue = (whole - sum(inside)) / done
    setup = (sum(inside) - sum(steps)) / done
    print(f"{done} cells of {spec.name}, one worker, one thread; enqueued in {enqueue:.2f} s")
    print(f"  updates of a cell              {1e3 * sum(steps) / done:8.2f} ms")
    print(f"  set-up and evaluations         {1e3 * setup:8.2f} ms")
    print(f"  queue and files                {1e3 * queue:8.2f} ms   (target 10 ms)")
    print(f"  queue and files, share         {100 * queue * done / whole:8.2f} %    (target 5 %)")


def trivial_cell() -> RunCell:
    """Answers with one short run's result, whatever the cell."""
    from robustlr.training import train
    from robustlr.workloads import build_workload

    first = next(study_of(1).cells())
    record, curve = train(dataclasses.replace(first, num_steps=1), build_workload(first.workload))
    return lambda cell: (dataclasses.replace(record, cell=cell), curve)


def queue_growth() -> None:
    print("queue cost per trivial cell, against the number of cells (writing the result apart)")
    run_cell = trivial_cell()
    for cells in (1_000, 4_000, 10_000):
        spec = study_of(cells)
        with tempfile.TemporaryDirectory() as folder:
            paths = RunPaths(Path(folder))
            started = time.perf_counter()
            prepare(spec, paths)
            enqueue = time.perf_counter() - started
            started = time.perf_counter()
            count = work(paths, "0", run_cell)
            whole = (time.perf_counter() - started) / count
            result = run_cell(next(spec.cells()))
            started = time.perf_counter()
            for _ in range(200):
                write_result(paths.cell("probe"), *result)
            write = (time.perf_counter() - started) / 200
            megabytes = paths.journal.stat().st_size / 1e6
        print(
            f"  {count:6d} cells: enqueued in {enqueue:5.2f} s, {1e3 * (whole - write):5.2f} ms "
            f"per cell + {1e3 * write:4.2f} ms for the file, journal {megabytes:4.1f} MB"
        )


def help_time() -> None:
    commands = {
        "import typer": ["-c", "import typer"],
        "robustlr --help": ["-m", "robustlr_cli.app", "--help"],
    }
    medians = {}
    for name, command in commands.items():
        runs = []
        for _ in range(11):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            runs.append(time.perf_counter() - started)
        medians[name] = statistics.median(runs)
    ratio = medians["robustlr --help"] / medians["import typer"]
    print(f"robustlr --help takes {ratio:.2f} times `import typer`   (target 3)")


if __name__ == "__main__":
    help_time()
    orchestration(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    queue_growth()
