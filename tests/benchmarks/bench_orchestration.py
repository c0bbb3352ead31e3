"""What a cell costs beyond its own training steps, at 1,000 cells of the digits study on one worker.

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

from robustlr.records import RunPaths, write_result
from robustlr.specs import Cell, StudySpec, find_study_file, load_study
from robustlr.study import CellQueue, prepare, work


def seconds(action: object) -> float:
    started = time.perf_counter()
    action()  # type: ignore[operator]
    return time.perf_counter() - started


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

    def run_cell(cell: Cell) -> object:
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
        enqueue = seconds(lambda: prepare(spec, paths))
        whole = seconds(lambda: work(paths, "0", run_cell))  # type: ignore[arg-type]
    done = len(inside)
    queue = (whole - sum(inside)) / done
    setup = (sum(inside) - sum(steps)) / done
    print(f"{done} cells of {spec.name}, one worker, one thread; enqueued in {enqueue:.2f} s")
    print(f"  updates of a cell              {1e3 * sum(steps) / done:8.2f} ms")
    print(f"  set-up and evaluations         {1e3 * setup:8.2f} ms")
    print(f"  queue and files                {1e3 * queue:8.2f} ms   (target 10 ms)")
    print(f"  queue and files, share         {100 * queue * done / whole:8.2f} %    (target 5 %)")


def queue_growth() -> None:
    print("queue cost per cell with a trivial cell, against the number of cells")
    for cells in (1_000, 4_000, 10_000):
        spec = study_of(cells)
        result = None

        def run_cell(cell: Cell) -> object:
            nonlocal result
            if result is None:
                from robustlr.training import train
                from robustlr.workloads import build_workload

                short = dataclasses.replace(cell, num_steps=1)
                result = train(short, build_workload(cell.workload))
            return dataclasses.replace(result[0], cell=cell), result[1]

        with tempfile.TemporaryDirectory() as folder:
            paths = RunPaths(Path(folder))
            enqueue = seconds(lambda spec=spec, paths=paths: prepare(spec, paths))
            whole = seconds(lambda paths=paths: work(paths, "0", run_cell))  # type: ignore[arg-type]
            megabytes = paths.journal.stat().st_size / 1e6
            writes = [
                seconds(lambda: write_result(paths.cell("probe"), *result))  # type: ignore[misc]
                for _ in range(50)
            ]
            progress = seconds(lambda: CellQueue(paths, spec.name).tally(()))
        count = sum(1 for _ in spec.cells())
        print(
            f"  {count:6d} cells: enqueue {enqueue:5.2f} s, {1e3 * whole / count:5.2f} ms per cell, "
            f"of which writing the result {1e3 * statistics.median(writes):4.2f} ms; "
            f"journal {megabytes:4.1f} MB, opened in {progress:4.2f} s"
        )


def help_time() -> None:
    commands = {
        "import typer": ["-c", "import typer"],
        "robustlr --help": ["-m", "robustlr_cli.app", "--help"],
    }
    medians = {}
    for name, command in commands.items():
        runs = [
            seconds(lambda c=command: subprocess.run([sys.executable, *c], capture_output=True))
            for _ in range(11)
        ]
        medians[name] = statistics.median(runs)
    ratio = medians["robustlr --help"] / medians["import typer"]
    print(f"robustlr --help takes {ratio:.2f} times `import typer`   (target 3)")


if __name__ == "__main__":
    help_time()
    orchestration(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    queue_growth()
