"""What a workload is: a model, its data and its loss. Yours is a subclass of `Workload`.

    class Mine(Workload):
        def model(self, seed):                  # fresh weights; torch is already seeded
            return torch.nn.Linear(8, 2)

        def examples(self, split, seed):        # "train", "valid" or "test"
            return TensorExamples(x[split], y[split])

        def loss(self, model, batch):           # mean over the batch
            x, y = batch
            return torch.nn.functional.cross_entropy(model(x), y)

Everything else has a default. The training loop owns the order of the data, the device, the
optimizer and the learning rate.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from robustlr.errors import DataError
from robustlr.workloads.streams import Request, stream

Split = Literal["train", "valid", "test"]
Batch = Sequence[Tensor]


class Examples(Protocol):
    """The examples of one split, addressed by index."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> Batch:
        """The examples at `indices` (int64, shape [B]): tensors of leading dimension B."""
        ...

    def to(self, device: torch.device) -> Examples:
        """The same examples where the model is."""
        ...


class TensorExamples:
    """Examples that fit in memory: tensors of equal leading dimension, every number finite.

    Raises DataError where they are not, naming the tensor and the example.
    """

    def __init__(self, *tensors: Tensor) -> None:
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) != 1 or not lengths[0]:
            raise DataError(f"examples need tensors of one length above 0, got lengths {lengths}")
        for position, tensor in enumerate(tensors):
            bad = (~torch.isfinite(tensor)).flatten(1 if tensor.ndim > 1 else 0)
            if bad.any():
                rows = (bad.any(dim=1) if tensor.ndim > 1 else bad).nonzero()
                raise DataError(
                    f"tensor {position} of the examples is not finite in {len(rows)} of "
                    f"{len(tensor)} examples, the first is number {int(rows[0])}"
                )
        self.tensors = tensors

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def batch(self, indices: Tensor) -> Batch:
        return tuple(tensor[indices] for tensor in self.tensors)

    def to(self, device: torch.device) -> TensorExamples:
        moved = copy.copy(self)  # checked already
        moved.tensors = tuple(tensor.to(device) for tensor in self.tensors)
        return moved


class Workload(ABC):
    """One optimisation problem. Built once per worker, trained many times."""

    metric: ClassVar[str] = "loss"
    """Name of the headline metric, lower is better: "error", "perplexity"."""

    @property
    def evaluation_batch(self) -> int:
        """Examples per forward pass in evaluation; a class may write `evaluation_batch = 64`."""
        return 1024

    @property
    def chance_loss(self) -> float | None:
        """Validation loss of a model that knows nothing; None: that of the fresh model."""
        return None

    @property
    def optimum_loss(self) -> float | None:
        """The least attainable validation loss, where it is known."""
        return None

    @abstractmethod
    def model(self, seed: int) -> nn.Module:
        """A model with fresh weights. torch's generators are seeded with `seed` already."""

    @abstractmethod
    def examples(self, split: Split, seed: int) -> Examples:
        """The examples of a split; the same for every seed, unless the problem is a stream."""

    def specimen(self, size: int) -> Batch:
        """A batch of `size` examples whose content is of no matter: its shapes and types are.

        Override it where shapes are known before the data is there: a study can then be planned
        before anything is downloaded.
        """
        return self.examples("train", 0).batch(torch.arange(size))

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss over the batch, a scalar with a graph."""

    def score(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """(mean loss, mean metric) over the batch, without a graph."""
        loss = self.loss(model, batch)
        return loss, loss

    def evaluate(
        self, model: nn.Module, examples: Examples, indices: Tensor
    ) -> tuple[float, float]:
        """(sum of losses, sum of metrics) over the examples at `indices`.

        The loop gives every rank its own indices and divides by the number of all.
        """
        loss_sum = metric_sum = 0.0
        parts = torch.split(indices, self.evaluation_batch) if len(indices) else ()
        with closing(stream(examples, map(Request, parts))) as batches:
            for part, batch in zip(parts, batches, strict=True):
                loss, metric = self.score(model, batch)
                loss_sum += float(loss) * len(part)
                metric_sum += float(metric) * len(part)
        return loss_sum, metric_sum

    def metric_value(self, mean_loss: float, mean_metric: float) -> float:
        """The headline metric from the means over a split (perplexity is exp(mean_loss))."""
        return mean_metric

    def sampled_loss(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, int] | None:
        """(mean loss on labels drawn from the model, number of labels), or None if it has none.

        For the Gauss-Newton estimate of the curvature.
        """
        return None

    def inspect(self, model: nn.Module, batch: Batch) -> None:  # noqa: B027, a default, not a gap
        """Look for a silent mistake in a fresh model before any cell runs.

        Called once, in evaluation mode and without gradients, with training examples. Raises
        WorkloadError where there is one.
        """

    def provenance(self) -> Mapping[str, str]:
        """What a run's record should tell of the data: its version, its hash."""
        return {}

    def project(self, model: nn.Module) -> None:  # noqa: B027, a default and not a gap
        """Put the weights back into the domain after an update, where there is one."""
