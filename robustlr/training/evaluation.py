"""Validation and test, shared out over the ranks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

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
        model.train()
        return Evaluation(valid_loss, test_loss, valid_metric, test_metric)

    def _split(self, model: nn.Module, split: Split, costs: Costs) -> tuple[float, float]:
        examples, ranks = self.examples[split], self.accelerator.num_processes
        mine = torch.arange(self.accelerator.process_index, len(examples), ranks)
        sums = self.workload.evaluate(model, examples, mine)
        if ranks > 1:
            both = torch.tensor(sums, dtype=torch.float64, device=self.accelerator.device)
            sums = tuple(self.accelerator.reduce(both, reduction="sum").tolist())
        costs.evaluation_passes += len(examples) / 3.0  # forward alone: a third
        loss, metric = (total / len(examples) for total in sums)
        return loss, self.workload.metric_value(loss, metric)
