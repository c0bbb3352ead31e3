"""What CIFAR's input pipeline costs: augmentation on the device as a share of a training step.

    python tests/benchmarks/bench_input.py [ROUNDS]

Images of CIFAR's shape (random: pixels cost the same), 4 pixels of padding, flips and cutout 16,
as the training loop gets them from its feed, against a step of WRN-16-4 (forward, backward, SGD
with momentum) in batches of 128 on a GPU, in bf16, or of 32 on one CPU thread, in fp32. Feed and
step are timed in turn, round after round, with the device idle in between; the medians' ratio is
what is judged. Limits: 5 % on a GPU, 10 % on a CPU. On a GPU the memory at its peak is printed as
well. Exit status 1 where the limit is broken.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import closing

import torch
from torch.nn import functional

from robustlr.schedules import Fixed
from robustlr.specs import SGD, Cell, WorkloadSpec
from robustlr.training.feed import Feed
from robustlr.workloads.augmentation import Augmentation
from robustlr.workloads.cifar10 import Cifar10
from robustlr.workloads.image_tensors import ImageTensors
from robustlr.workloads.wide_resnet import WideResNet

WARM = 2


def random_cifar(device: torch.device) -> ImageTensors:
    images = torch.randint(0, 256, (50_000, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (50_000,))
    augmentation = Augmentation(padding=4, flip=True, cutout=16)
    return ImageTensors(images, labels, Cifar10.normalization, augmentation).to(device)


def main(rounds: int) -> int:
    torch.set_num_threads(1)
    gpu = torch.cuda.is_available()
    device, batch_size, limit = (
        (torch.device("cuda"), 128, 0.05) if gpu else (torch.device("cpu"), 32, 0.10)
    )
    cell = Cell(
        workload=WorkloadSpec(kind="cifar10"),
        optimizer=SGD(),
        schedule=Fixed(),
        batch_size=batch_size,
        num_steps=rounds,
        lr_exponent="-1",
        seed=0,
    )
    model = WideResNet(16, 4, 10).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    feeding, stepping = [], []

    def now() -> float:
        if gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    with closing(Feed(random_cifar(device), cell)) as feed:
        for _ in range(WARM + rounds):
            started = now()
            ((images, labels),) = feed.update()
            fed = now()
            with torch.autocast(device.type, torch.bfloat16, enabled=gpu):
                loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            stepped = now()
            feeding.append(fed - started)
            stepping.append(stepped - fed)
    feed_ms, step_ms = (1e3 * statistics.median(t[WARM:]) for t in (feeding, stepping))
    name = torch.cuda.get_device_name() if gpu else "CPU, one thread"
    print(f"device       {name}, batch {batch_size}")
    print(f"feed         {feed_ms:9.3f} ms per update")
    print(f"step         {step_ms:9.3f} ms per update (WRN-16-4)")
    print(f"ratio        {feed_ms / step_ms:9.4f} (limit {limit})")
    if gpu:
        print(f"memory       {torch.cuda.max_memory_allocated() / 2**20:9.0f} MiB at the peak")
    return int(feed_ms / step_ms > limit)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
