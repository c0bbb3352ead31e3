"""torch.compile over ten learning rates: one graph, and what it costs and gains.

    python tests/benchmarks/bench_compile.py [UPDATES]

Ten cells in one process, at ten learning rates under a linear schedule: a wide residual network
(WRN-10-2) on random images of 32 × 32, batch 32, SGD with momentum. Printed: the graphs compiled,
the first compiled cell against the others, and an update compiled against eager (medians over the
cells). Exit status 1 where more than one graph was compiled.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn import functional

from robustlr.schedules import Polynomial
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.workloads import Split, TensorExamples, Workload
from robustlr.workloads.wide_resnet import WideResNet

LEARNING_RATES = range(-10, 0)  # exponents of ten


class Images(Workload):
    def model(self, seed: int) -> nn.Module:
        return WideResNet(depth=10, width=2, classes=10)

    def examples(self, split: Split, seed: int) -> TensorExamples:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(64, 3, 32, 32, generator=generator)
        return TensorExamples(images, torch.randint(10, (64,), generator=generator))

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(model(images), labels)


def cells(updates: int) -> list[Cell]:
    return [
        Cell(
            workload=WorkloadSpec(factory="bench:images"),
            optimizer=SGD(momentum=0.9),
            schedule=Polynomial(),
            batch_size=32,
            num_steps=updates,
            lr_exponent=str(exponent),
            seed=0,
            training=TrainingSpec(eval_every=10**9),
        )
        for exponent in LEARNING_RATES
    ]


def timed(cell: Cell, *, compile: bool) -> tuple[float, float]:
    """(seconds of the whole cell, seconds of its updates)."""
    training = dataclasses.replace(cell.training, compile=compile)
    started = time.perf_counter()
    record, _ = train(dataclasses.replace(cell, training=training), Images())
    return time.perf_counter() - started, record.summary.wall_seconds


def main(updates: int = 10) -> int:
    eager, compiled = [], []
    for cell in cells(updates):
        eager.append(timed(cell, compile=False))
        compiled.append(timed(cell, compile=True))
    graphs = counters["stats"]["unique_graphs"]
    later = statistics.median(whole for whole, _ in compiled[1:])
    ratio = statistics.median(
        theirs[1] / ours[1] for ours, theirs in zip(compiled[1:], eager[1:], strict=True)
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, one thread"
    print(f"torch {torch.__version__}, {device}, {updates} updates a cell")
    print(f"graphs compiled for {len(compiled)} learning rates: {graphs}")
    print(f"first compiled cell {compiled[0][0]:.1f} s, a later one {later:.2f} s")
    print(f"an eager update takes {ratio:.2f} times a compiled one")
    return 0 if graphs == 1 else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(*map(int, sys.argv[1:])))
