"""Our loop against a bare PyTorch loop: the same model, data, order, optimizer and threads.

    python tests/benchmarks/bench_loop.py [ROUNDS]

digits_mlp (64-64-64-10), batch 64, SGD with momentum, cosine, one thread. Both loops run in turn,
round after round, in one process; a round's ratio compares neighbours in time, and the median of
the ratios is what is judged. The loops end in the same loss to the bit. Limit: 1.15 times per
update. Also printed: what a cell costs beyond its updates (building, one evaluation, the record).
Exit status 1 where the limit is broken.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch.nn import functional

from robustlr.schedules import Cosine
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.training.order import BatchOrder
from robustlr.workloads import Workload, build_workload

LIMIT = 1.15
UPDATES = 400


def cell_of(num_steps: int) -> Cell:
    return Cell(
        workload=WorkloadSpec(kind="digits_mlp"),
        optimizer=SGD(momentum=0.9),
        schedule=Cosine(),
        batch_size=64,
        num_steps=num_steps,
        lr_exponent="-1",
        seed=0,
        training=TrainingSpec(eval_every=10**9),  # evaluation is no part of an update
    )


def bare_loop(workload: Workload, cell: Cell) -> float:
    """Seconds of the updates alone."""
    torch.manual_seed(cell.seed)
    model = workload.model(cell.seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=cell.peak_lr, momentum=0.9)
    inputs, labels = workload.examples("train", cell.seed).tensors  # type: ignore[attr-defined]
    order = BatchOrder(len(inputs), cell.batch_size, cell.seed)
    multipliers = Cosine().multiplier(range(cell.num_steps), cell.num_steps).tolist()
    started = time.perf_counter()
    for step in range(cell.num_steps):
        indices = order.batch(step)
        loss = functional.cross_entropy(model(inputs[indices]), labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = cell.peak_lr * multipliers[step]
        optimizer.step()
        loss.item()  # every loop looks at its loss
    return time.perf_counter() - started


def our_loop(workload: Workload, cell: Cell) -> float:
    """Seconds of the updates alone, as the record tells them."""
    record, _ = train(cell, workload)
    return record.summary.wall_seconds


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main(rounds: int) -> int:
    torch.set_num_threads(1)
    cell, single = cell_of(UPDATES), cell_of(1)
    workload = build_workload(cell.workload)
    bare_loop(workload, cell), our_loop(workload, cell)  # warm
    bare, ours, ratios, apart = [], [], [], []
    for turn in range(rounds):
        loops = (bare_loop, our_loop) if turn % 2 else (our_loop, bare_loop)
        spent = {loop: loop(workload, cell) for loop in loops}
        bare.append(spent[bare_loop])
        ours.append(spent[our_loop])
        ratios.append(spent[our_loop] / spent[bare_loop])
        apart.append(seconds(lambda: train(single, workload)) - spent[our_loop] / UPDATES)
    ratio = statistics.median(ratios)
    low, *_, high = statistics.quantiles(ratios, n=4)
    print(f"bare loop    {statistics.median(bare) / UPDATES * 1e6:7.1f} µs per update")
    print(f"our loop     {statistics.median(ours) / UPDATES * 1e6:7.1f} µs per update")
    print(f"ratio        {ratio:7.3f} (quartiles {low:.3f} to {high:.3f}; limit {LIMIT})")
    print(f"per cell     {statistics.median(apart) * 1e3:7.2f} ms beyond its updates")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 31))
