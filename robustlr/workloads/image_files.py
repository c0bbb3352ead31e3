"""Images that stay in their files: decoded, cropped and resized each time they are asked for.

Training: a random crop of a share of the area in `area` and an aspect ratio in `aspect`, resized,
and a flip (Szegedy et al. 2014, arXiv 1409.4842; the first of ten tries that fits, else all that
the aspect ratio allows). Evaluation: the central square of `central` of the shorter side, resized
(256 then 224 pixels: 0.875). Bilinear, antialiased.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustlr.workloads.augmentation import DRAWN, Augmentation
from robustlr.workloads.base import Batch
from robustlr.workloads.image_rows import ImageRows, as_tensor
from robustlr.workloads.image_tensors import Normalization
from robustlr.workloads.loading import loaded_ahead
from robustlr.workloads.streams import Request

_TRIES = 10
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Framing:
    """Which part of an image is seen, at which size.

    random: in training by a random box, else by the central one as in evaluation. flip: mirror
    every second image, where the box is random.
    """

    size: int
    central: float = 0.875
    random: bool = True
    flip: bool = True
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def central_box(self, width: int, height: int) -> Box:
        """(left, upper, right, lower) of evaluation.

        >>> Framing(224).central_box(256, 512)
        (16.0, 144.0, 240.0, 368.0)
        """
        side = self.central * min(width, height)
        left, upper = (width - side) / 2, (height - side) / 2
        return left, upper, left + side, upper + side

    def random_box(self, width: int, height: int, uniform: Tensor) -> Box:
        """A crop of training. uniform: numbers in [0, 1), shape [10, 4]."""
        low, high = (math.log(ratio) for ratio in self.aspect)
        for area, aspect, across, down in uniform.tolist():
            share = self.area[0] + area * (self.area[1] - self.area[0])
            ratio = math.exp(low + aspect * (high - low))
            box_width = round(math.sqrt(width * height * share * ratio))
            box_height = round(math.sqrt(width * height * share / ratio))
            if 0 < box_width <= width and 0 < box_height <= height:
                left = math.floor(across * (width - box_width + 1))
                upper = math.floor(down * (height - box_height + 1))
                return left, upper, left + box_width, upper + box_height
        box_width = min(width, round(height * self.aspect[1]))
        box_height = min(height, round(width / self.aspect[0]))
        left, upper = (width - box_width) // 2, (height - box_height) // 2
        return left, upper, left + box_width, upper + box_height

    def evaluated(self, image: Any) -> Tensor:
        """uint8, [3, size, size]: what evaluation sees of a PIL image."""
        return self._resized(image, self.central_box(*image.size))

    def trained(self, image: Any, uniform: Tensor) -> Tensor:
        """What training sees. uniform: 41 numbers in [0, 1)."""
        if not self.random:
            return self.evaluated(image)
        width, height = image.size
        box = self.random_box(width, height, uniform[1:].reshape(_TRIES, 4))
        resized = self._resized(image, box)
        return resized.flip(2) if self.flip and uniform[0] < 0.5 else resized

    def _resized(self, image: Any, box: Box) -> Tensor:
        from PIL import Image

        return as_tensor(image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box))


class ImageFiles:
    """Labelled images of one split. augmentation: of training batches, after the framing."""

    def __init__(
        self,
        rows: ImageRows,
        framing: Framing,
        normalization: Normalization,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._rows, self._framing = rows, framing
        self._normalization, self._augmentation = normalization, augmentation
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._rows)

    def to(self, device: torch.device) -> ImageFiles:
        moved = copy.copy(self)
        moved._device, moved._normalization = device, self._normalization.to(device)
        return moved

    def batch(self, indices: Tensor) -> Batch:
        loaded = self.load(Request(indices.cpu()))
        return self._finished(*(part.to(self._device) for part in loaded))

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        """As many processes decode as this one has threads."""
        on_cpu = self.to(torch.device("cpu"))  # what the workers get
        batches = loaded_ahead(
            on_cpu.load, requests, workers=torch.get_num_threads(), device=self._device
        )
        with closing(batches):
            for loaded in batches:
                yield self._finished(*loaded)

    def load(self, request: Request) -> Batch:
        """uint8 images, labels, and where the augmentation puts them; on the CPU."""
        chosen, draw = self._rows.take(request.indices), request.draw
        images = [self._rows.image(row) for row in chosen.rows.tolist()]
        if draw is None:
            return torch.stack([self._framing.evaluated(image) for image in images]), chosen.labels
        # no numbers for boxes that are not random: as for images that are kept in memory
        uniform = draw.uniform((1 + 4 * _TRIES if self._framing.random else 0) + DRAWN)
        boxes, places = uniform[:, :-DRAWN], uniform[:, -DRAWN:]
        pixels = torch.stack(list(map(self._framing.trained, images, boxes)))
        if self._augmentation is None:
            return pixels, chosen.labels
        return pixels, chosen.labels, self._augmentation.places(places, self._framing.size)

    def _finished(self, images: Tensor, labels: Tensor, places: Tensor | None = None) -> Batch:
        """Normalised and augmented, where the model is."""
        if self._augmentation is None or places is None:
            return self._normalization(images), labels
        everything = torch.arange(len(images))
        images = self._augmentation.pick(images, everything, places)
        return self._augmentation.cut(self._normalization(images), places), labels
