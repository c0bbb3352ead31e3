"""Validation and test, shared out over the ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from robustlr.curvature.sharding import is_sharded, reshard
from robustlr.training.recorder import Costs, Evaluation
from robustlr.workloads import Examples, Split, Workload


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates models of a workload on its validation and test examples."""

    workload: Workload
    examples: dict[Split, Examples]
    accelerator: Accelerator

    @torch.no_grad()
    def evaluate(self, model: nn.Module, costs: Costs) -> Evaluation:
        """Losses and metrics of `model`, agreed between ranks; its passes are added to `costs`."""
        model.eval()
        valid_loss, valid_metric = self._split(model, "valid", costs)
        test_loss, test_metric = self._split(model, "test", costs)
        reshard(model)
        model.train()
        return Evaluation(valid_loss, test_loss, valid_metric, test_metric)

    def _split(self, model: nn.Module, split: Split, costs: Costs) -> tuple[float, float]:
        examples, ranks = self.examples[split], self.accelerator.num_processes
        sums = torch.zeros(2, dtype=torch.float64)
        for indices, times in self._shares(len(examples), sharded=is_sharded(model)):
            mine = self.workload.evaluate(model, examples, indices)
            sums += torch.tensor(mine, dtype=torch.float64) / times
        if ranks > 1:
            sums = self.accelerator.reduce(sums.to(self.accelerator.device), reduction="sum")
        costs.evaluation_passes += len(examples) / 3.0  # forward alone: a third
        loss, metric = (total / len(examples) for total in sums.tolist())
        return loss, self.workload.metric_value(loss, metric)

    def _shares(self, examples: int, *, sharded: bool) -> Iterator[tuple[Tensor, int]]:
        """This rank's indices, and the number of ranks that have the same ones.

        The ranks of a sharded model gather its weights together and must make equally many
        passes: what does not divide is evaluated by all of them.
        """
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        even = examples - examples % ranks if sharded else examples
        yield torch.arange(even)[rank::ranks], 1
        if even < examples:
            yield torch.arange(even, examples), ranks
