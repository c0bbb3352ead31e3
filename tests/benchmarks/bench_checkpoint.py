"""What checkpoints inside a cell cost.

    python tests/benchmarks/bench_checkpoint.py [ROUNDS]

A small network (digits_mlp, 64-64-64-10) and a large one (64-800-800-10, 0.7 million weights),
AdamW, one thread, the folder of temporary files. The same cell runs in turn without checkpoints,
with a place for one that is never due, and with one every 100 updates. Ratios are of processor
seconds, the least of the rounds each, as whatever else runs on the machine only adds; what a
checkpoint takes by the clock, waiting for the disk included, is printed beside. Limits: 1.03 times
where none is due, 1.15 times for the small network with one every 100 updates. A real cell's
updates are longer: choose K so that K of them take far longer than one checkpoint. Exit status 1
where a limit is broken.
"""

from __future__ import annotations

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
IDLE_LIMIT, DUE_LIMIT = 1.03, 1.15
SIZES = {"small": ([64, 64], 1001), "large": ([800, 800], 201)}


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


def seconds(cell: Cell, workload: Workload, checkpoints: Checkpoints | None) -> tuple[float, float]:
    """(of the processor, by the clock)."""
    if checkpoints is not None:
        checkpoints.path.unlink(missing_ok=True)
    began, started = time.perf_counter(), time.process_time()
    train(cell, workload, checkpoints)
    return time.process_time() - started, time.perf_counter() - began


def main(rounds: int) -> int:
    torch.set_num_threads(1)
    ratios: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.safetensors"
        ways = [
            None,
            Checkpoints(path=path, every=10**9, note=lambda _: None),
            Checkpoints(path=path, every=EVERY, note=lambda _: None),
        ]
        for name, (hidden, num_steps) in SIZES.items():
            cell = cell_of(hidden, num_steps)
            workload = build_workload(cell.workload)
            seconds(cell, workload, None)  # pays for what is only done once
            taken = [[seconds(cell, workload, way) for way in ways] for _ in range(rounds)]
            none, idle, due = (min(cpu for cpu, _ in column) for column in zip(*taken, strict=True))
            clock = [min(clock for _, clock in column) for column in zip(*taken, strict=True)]
            each = (clock[2] - clock[1]) / ((num_steps - 1) // EVERY)
            ratios[name] = idle / none, due / none
            print(
                f"{name}: {1e6 * none / num_steps:.0f} us per update; none due {idle / none:.3f} "
                f"times; one every {EVERY} {due / none:.3f} times, {1e3 * each:.1f} ms by the "
                f"clock and {path.stat().st_size / 1e6:.2f} MB each"
            )
    return int(ratios["small"][0] > IDLE_LIMIT or ratios["small"][1] > DUE_LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
