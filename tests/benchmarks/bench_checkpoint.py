"""What checkpoints inside a cell cost.

    python tests/benchmarks/bench_checkpoint.py [ROUNDS]

A small network (digits_mlp, 64-64-64-10) and a large one (64-1500-1500-10, 2.4 million weights),
AdamW, one thread, the folder of temporary files. The same cell runs in turn without checkpoints,
with a place for one that is never due, and with one every 100 updates; medians over the rounds of
neighbours' ratios, and the milliseconds and bytes of one checkpoint. Limits: 1.02 times where none
is due, 1.10 times for the small network with one every 100 updates (a longer cell has larger
updates: K is to be chosen so that K of them take far longer than one checkpoint). Exit status 1
where a limit is broken.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from robustlr.schedules import Cosine
from robustlr.specs import AdamW, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import Checkpoints, train
from robustlr.workloads import Workload, build_workload

EVERY = 100
IDLE_LIMIT, DUE_LIMIT = 1.02, 1.10
SIZES = {"small": ([64, 64], 2000), "large": ([1500, 1500], 300)}


def cell_of(hidden: list[int], num_steps: int) -> Cell:
    return Cell(
        workload=WorkloadSpec(kind="digits_mlp", options={"hidden": hidden}),
        optimizer=AdamW(),
        schedule=Cosine(),
        batch_size=64,
        num_steps=num_steps,
        lr_exponent="-3",
        seed=0,
        training=TrainingSpec(eval_every=10**9),
    )


def seconds(cell: Cell, workload: Workload, checkpoints: Checkpoints | None) -> float:
    if checkpoints is not None:
        checkpoints.path.unlink(missing_ok=True)
    started = time.perf_counter()
    train(cell, workload, checkpoints)
    return time.perf_counter() - started


def main(rounds: int) -> int:
    torch.set_num_threads(1)
    ratios: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.safetensors"
        idle = Checkpoints(path=path, every=10**9, note=lambda _: None)
        due = Checkpoints(path=path, every=EVERY, note=lambda _: None)
        for name, (hidden, num_steps) in SIZES.items():
            cell = cell_of(hidden, num_steps)
            workload = build_workload(cell.workload)
            seconds(cell, workload, None)  # pays for what is only done once
            rows = []
            for _ in range(rounds):
                none = seconds(cell, workload, None)
                rows.append((none, seconds(cell, workload, idle), seconds(cell, workload, due)))
            without, unused, used = (
                statistics.median(row[0] for row in rows),
                statistics.median(row[1] / row[0] for row in rows),
                statistics.median(row[2] / row[0] for row in rows),
            )
            written = (num_steps - 1) // EVERY
            each = statistics.median((row[2] - row[0]) / written for row in rows)
            ratios[name] = unused, used
            print(
                f"{name}: {1e6 * without / num_steps:.0f} us per update; none due {unused:.3f} "
                f"times; one every {EVERY} updates {used:.3f} times, {1e3 * each:.1f} ms and "
                f"{path.stat().st_size / 1e6:.2f} MB each"
            )
    bad = ratios["small"][0] > IDLE_LIMIT or ratios["small"][1] > DUE_LIMIT
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
