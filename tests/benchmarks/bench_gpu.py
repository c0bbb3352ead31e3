"""What a GPU makes of CIFAR-10's study: WRN-28-10 in bf16 through our own training loop.

    python tests/benchmarks/bench_gpu.py [--cpu]

Random images of CIFAR's shape (pixels cost the same) in batches of 128 with crops, flips and
cutout 16; SGD with Nesterov momentum. Printed: device, images a second over 50 updates that follow
a warm run, and the memory at its peak. Nothing is judged. Without a GPU it says so and ends; with
--cpu WRN-10-1 takes 10 updates of 16 images there, to see that the script works. Exit status 1
where the loss is not finite.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch

from robustlr.schedules import Cosine
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.workloads import Split
from robustlr.workloads.cifar10 import Cifar10
from robustlr.workloads.image_tensors import ImageTensors

WARM = 5  # updates
HELD_OUT = 1000


@dataclass(frozen=True, kw_only=True)
class RandomCifar10(Cifar10):
    """CIFAR-10 without its data."""

    images: int = 45_000

    def examples(self, split: Split, seed: int) -> ImageTensors:
        pixels, labels = _drawn(self.images if split == "train" else min(HELD_OUT, self.images))
        augmentation = self._augmentation if split == "train" else None
        return ImageTensors(pixels, labels, self.normalization, augmentation)

    def provenance(self) -> Mapping[str, str]:
        return {"data": "random"}


@lru_cache
def _drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(0, 10, (count,), generator=generator)


def main(*, on_cpu: bool) -> int:
    gpu = torch.cuda.is_available()
    if not gpu and not on_cpu:
        print("no GPU here; --cpu tries the script with a tiny network")
        return 0
    network, images, batch, updates = (
        ("wrn-28-10", 45_000, 128, 50) if gpu else ("wrn-10-1", 64, 16, 10)
    )
    workload = RandomCifar10(network=network, cutout=16, images=images)
    cell = Cell(
        workload=WorkloadSpec(factory="tests.benchmarks.bench_gpu:RandomCifar10"),
        optimizer=SGD(momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Cosine(),
        batch_size=batch,
        num_steps=updates,
        lr_exponent="-1",
        seed=0,
        training=TrainingSpec(eval_every=10**9, precision="bf16"),
    )
    train(dataclasses.replace(cell, num_steps=WARM), workload)
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    record, _ = train(cell, workload)
    seconds, loss = record.summary.wall_seconds, record.summary.valid_loss
    weights = sum(weight.numel() for weight in workload.model(0).parameters())
    print(
        f"device      {torch.cuda.get_device_name() if gpu else 'CPU'}, torch {torch.__version__}"
    )
    print(f"network     {network}, {weights / 1e6:.1f} M weights, bf16, batch {batch}")
    print(f"throughput  {updates * batch / seconds:9.0f} images/s over {updates} updates")
    print(f"update      {1e3 * seconds / updates:9.1f} ms")
    if gpu:
        peak = torch.cuda.max_memory_allocated() / 2**30
        print(f"memory      {peak:9.2f} GiB at the peak, evaluation included")
    print(f"loss        {loss} after them, {record.status.value}")
    return int(loss is None or not math.isfinite(loss))


if __name__ == "__main__":
    sys.exit(main(on_cpu="--cpu" in sys.argv[1:]))
