"""Our loop against a bare PyTorch loop over GPT-2 of transformers: same model, data and precision.

    python tests/benchmarks/bench_gpt2.py [ROUNDS]

GPT-2 small: 12 layers, 124 M weights. On a GPU 8 windows of 1,024 tokens, bf16; on a CPU 2 windows
of 64 tokens, fp32, one thread. AdamW, cosine, no dropout: both loops end in the same losses. They
run in turn, round after round, in one process; a round's ratio compares neighbours in time, and the
median of the ratios is what is judged. Limit: 1.05 times per update. Exit status 1 where it is
broken.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.schedules import Cosine
from robustlr.specs import AdamW, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.training.order import BatchOrder
from robustlr.workloads import Split
from robustlr.workloads.architectures import make_config, make_model
from robustlr.workloads.language import LanguageModel, Windows

LIMIT = 1.05
ON_GPU = torch.cuda.is_available()


@dataclass(frozen=True)
class GPT2OnRandomTokens(LanguageModel):
    """The time of an update does not depend on what the tokens say."""

    layers: int = 12
    vocabulary: int = 50_257
    context: int = 1024 if ON_GPU else 64

    def model(self, seed: int) -> nn.Module:
        sizes = {"n_layer": self.layers, "vocab_size": self.vocabulary}
        dropout = {f"{place}_pdrop": 0.0 for place in ("attn", "embd", "resid")}
        return make_model(make_config("gpt2", sizes | dropout, "causal_lm"), "causal_lm")

    def examples(self, split: Split, seed: int) -> Windows:
        count = 64 * self.context + 1 if split == "train" else self.context + 1
        generator = torch.Generator().manual_seed(0)
        return Windows(torch.randint(self.vocabulary, (count,), generator=generator), self.context)

    def logits(self, model: nn.Module, tokens: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=tokens).logits
        return logits


def cell() -> Cell:
    return Cell(
        workload=WorkloadSpec(factory="tests.benchmarks.bench_gpt2:GPT2OnRandomTokens"),
        optimizer=AdamW(),
        schedule=Cosine(),
        batch_size=8 if ON_GPU else 2,
        num_steps=30 if ON_GPU else 4,
        lr_exponent="-4",
        seed=0,
        training=TrainingSpec(eval_every=10**9, precision="bf16" if ON_GPU else "fp32"),
    )


def precision() -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.bfloat16) if ON_GPU else nullcontext()


def bare_loop(workload: GPT2OnRandomTokens, cell: Cell) -> tuple[float, float]:
    """(seconds of the updates alone, mean of their losses)."""
    device = torch.device("cuda" if ON_GPU else "cpu")
    torch.manual_seed(cell.seed)
    model = workload.model(cell.seed).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=cell.peak_lr)
    examples = workload.examples("train", cell.seed).to(device)
    order = BatchOrder(len(examples), cell.batch_size, cell.seed)
    multipliers = Cosine().multiplier(range(cell.num_steps), cell.num_steps).tolist()
    total, started = 0.0, time.perf_counter()
    for step in range(cell.num_steps):
        (windows,) = examples.batch(order.batch(step))
        with precision():
            logits = model(input_ids=windows[:, :-1]).logits
        loss = functional.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = cell.peak_lr * multipliers[step]
        optimizer.step()
        total += loss.item()  # every loop looks at its loss
    return time.perf_counter() - started, total / cell.num_steps


def our_loop(workload: GPT2OnRandomTokens, cell: Cell) -> tuple[float, float]:
    """The same, as the record and the curve tell them."""
    record, curve = train(cell, workload)
    return record.summary.wall_seconds, curve["train_loss"][-1]


def main(rounds: int) -> int:
    torch.set_num_threads(1)
    workload, one = GPT2OnRandomTokens(), cell()
    loops = {"bare": bare_loop, "ours": our_loop}
    losses = {name: loop(workload, one)[1] for name, loop in loops.items()}  # and warm
    spent: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds):
        for name in sorted(loops, reverse=bool(turn % 2)):
            spent[name].append(loops[name](workload, one)[0])
    ratios = [ours / bare for ours, bare in zip(spent["ours"], spent["bare"], strict=True)]
    ratio = statistics.median(ratios)
    low, *_, high = statistics.quantiles(ratios, n=4)
    weights = sum(weight.numel() for weight in workload.model(0).parameters())
    device = torch.cuda.get_device_name() if ON_GPU else "CPU, one thread"
    print(f"GPT-2 of {workload.layers} layers, {weights / 1e6:.0f} M weights, {device}")
    for name, seconds in spent.items():
        each = statistics.median(seconds) / one.num_steps
        print(f"{name} loop  {each * 1e3:7.1f} ms per update, mean loss {losses[name]:.6f}")
    if ON_GPU:
        print(f"memory     {torch.cuda.max_memory_allocated() / 2**30:7.1f} GiB at most")
    print(f"ratio      {ratio:7.3f} (quartiles {low:.3f} to {high:.3f}; limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else (15 if ON_GPU else 5)))
