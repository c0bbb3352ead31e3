"""Optimizers, whoever wrote them, go on to the bit from a checkpoint, or say that they cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest
import pytorch_optimizer
import torch
from torch import nn

from robustlr.errors import CellStoppedError
from robustlr.specs import PytorchOptimizer
from robustlr.training import Checkpoints, train
from robustlr.training.optimizer_state import optimizer_state, restore_optimizer
from robustlr.workloads import build_workload
from tests.training.cells import digits_cell
from tests.training.interrupted import seed_anew, stop_within

BASE = digits_cell("cosine", num_steps=8, eval_every=4, lr_exponent="-3", hidden=(8,))
WITHOUT = {"conda", "lorarite", "magma", "scalableshampoo", "spam"}  # objects of their own


@pytest.mark.slow
def test_every_optimizer_goes_on_or_says_that_it_cannot(tmp_path: Path) -> None:
    workload, path = build_workload(BASE.workload), tmp_path / "checkpoint"
    refused, resumed = set(), 0
    for name in sorted(pytorch_optimizer.get_supported_optimizers()):
        cell = dataclasses.replace(BASE, optimizer=PytorchOptimizer(name=name))
        notes: list[str] = []

        def run(checkpoints: Checkpoints | None) -> pl.DataFrame:
            return train(cell, workload, checkpoints)[1].drop("wall_seconds")  # noqa: B023

        seed_anew()  # one of them draws from numpy
        try:
            whole = run(None)
        except Exception:
            continue  # needs what the loop does not give, or cannot train this network
        path.unlink(missing_ok=True)
        seed_anew()
        with pytest.raises(CellStoppedError):
            run(Checkpoints(path=path, stop=stop_within(4), note=notes.append))
        if not path.exists():
            assert "cannot be checkpointed: learner.optimizer." in notes[0]
            refused.add(name)
            continue
        again = run(Checkpoints(path=path, note=notes.append))
        assert notes == [f"cell {cell.key}: goes on from update 5"]
        assert again.equals(whole), name
        resumed += 1
    assert refused <= WITHOUT
    assert resumed > 90


def test_state_keeps_the_dtype_that_the_optimizer_chose() -> None:
    """torch's own load_state_dict would cast it to that of the weights."""
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.state[weight] = {"sum": torch.ones(3, dtype=torch.float64), "seen": {"x": 1}}
    optimizer.calls = 3  # type: ignore[attr-defined]
    values = optimizer_state(optimizer)
    fresh = torch.optim.SGD([weight], lr=0.5)
    restore_optimizer(fresh, values)
    assert fresh.state[weight]["sum"].dtype == torch.float64
    assert fresh.state[weight]["seen"] == {"x": 1}
    assert fresh.param_groups[0]["lr"] == 0.1
    assert fresh.calls == 3  # type: ignore[attr-defined]


class Wrapper(torch.optim.SGD):
    """An optimizer around another one."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        super().__init__(weights, lr=0.1)
        self.inner = torch.optim.Adam(weights, lr=0.1)


def test_an_optimizer_inside_another_is_kept_too() -> None:
    weight = nn.Parameter(torch.ones(3))
    wrapped, fresh = Wrapper([weight]), Wrapper([weight])
    weight.grad = torch.ones(3)
    wrapped.inner.step()
    restore_optimizer(fresh, optimizer_state(wrapped))
    assert torch.equal(fresh.inner.state[weight]["exp_avg"], torch.full((3,), 0.1))
