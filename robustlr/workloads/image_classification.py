"""What the image classifiers share: label smoothing, and where validation comes from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from robustlr.errors import SpecError
from robustlr.workloads.base import Batch
from robustlr.workloads.classification import Classification


@dataclass(frozen=True, kw_only=True)
class ImageClassification(Classification):
    """label_smoothing: share of a label's weight spread over all classes, in training alone.

    valid_share: of the training split, held out for selection by a split that no seed changes.
    limit: at most so many examples of every split, evenly spaced; 0 for all.
    """

    label_smoothing: float = 0.0
    valid_share: float = 0.1
    limit: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise SpecError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if not 0.0 < self.valid_share < 1.0:
            raise SpecError(f"valid_share must be in (0, 1), got {self.valid_share}")
        if self.limit < 0:
            raise SpecError(f"limit must be 0 or more, got {self.limit}")

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(model(images), labels, label_smoothing=self.label_smoothing)
