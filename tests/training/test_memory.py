"""Hundreds of cells in one process leave nothing behind."""

from __future__ import annotations

import gc
import weakref

import pytest
from accelerate import Accelerator
from torch import nn

from robustlr.training import train
from tests.training.cells import sample_cell
from tests.workloads.samples import Regression


class Watched(Regression):
    """Regression that remembers its models without keeping them alive."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[weakref.ref[nn.Module]] = []

    def model(self, seed: int) -> nn.Module:
        model = super().model(seed)
        self.models.append(weakref.ref(model))
        return model


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_models_and_accelerators_are_freed(precision: str) -> None:
    workload = Watched()
    for _ in range(30):
        train(sample_cell(num_steps=2, precision=precision), workload)
    gc.collect()
    alive = [model for model in workload.models if model() is not None]
    accelerators = [found for found in gc.get_objects() if type(found) is Accelerator]
    assert len(workload.models) == 30
    assert len(alive) <= 1
    assert len(accelerators) <= 1


def test_the_number_of_objects_does_not_grow_with_the_cells() -> None:
    workload, cell = Regression(), sample_cell(num_steps=2)

    def objects_after(cells: int) -> int:
        for _ in range(cells):
            train(cell, workload)
        gc.collect()
        return len(gc.get_objects())

    objects_after(5)  # caches
    before = objects_after(20)
    assert objects_after(100) - before < 100  # less than one per cell
