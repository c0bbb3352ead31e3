"""Images that fit: uint8 on the device, normalised and augmented there, a batch at a time."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Sequence

import torch
from torch import Tensor

from robustlr.workloads.augmentation import DRAWN, Augmentation
from robustlr.workloads.base import Batch
from robustlr.workloads.streams import Request


class Normalization:
    """(x/255 − mean)/deviation of every channel: uint8 in, float32 out."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        scale = 1.0 / (255.0 * torch.tensor(deviation, dtype=torch.float64))
        shift = -255.0 * torch.tensor(mean, dtype=torch.float64) * scale
        self.scale, self.shift = (part.float()[:, None, None] for part in (scale, shift))

    def to(self, device: torch.device) -> Normalization:
        moved = copy.copy(self)
        moved.scale, moved.shift = self.scale.to(device), self.shift.to(device)
        return moved

    def __call__(self, images: Tensor) -> Tensor:
        return torch.addcmul(self.shift, images.float(), self.scale)


class ImageTensors:
    """images: uint8, [N, 3, S, S]. labels: int64, [N]. augmentation: of training batches."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        normalization: Normalization,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.images, self.labels = images, labels
        self.normalization, self.augmentation = normalization, augmentation

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> ImageTensors:
        moved = copy.copy(self)
        moved.images, moved.labels = self.images.to(device), self.labels.to(device)
        moved.normalization = self.normalization.to(device)
        return moved

    def batch(self, indices: Tensor) -> Batch:
        indices = indices.to(self.labels.device)
        return self.normalization(self.images[indices]), self.labels[indices]

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        for request in requests:
            yield self._answer(request)

    def _answer(self, request: Request) -> Batch:
        if self.augmentation is None or request.draw is None:
            return self.batch(request.indices)
        uniform = request.draw.uniform(DRAWN)
        places = self.augmentation.places(uniform, self.images.shape[-1]).to(self.labels.device)
        picked = self.augmentation.pick(self.images, request.indices, places)
        images = self.augmentation.cut(self.normalization(picked), places)
        return images, self.labels[request.indices.to(self.labels.device)]
