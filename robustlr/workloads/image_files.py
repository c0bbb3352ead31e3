"""Images that stay in their files: decoded, cropped and resized each time they are asked for.

Training: a random crop of a share of the area in `area` and an aspect ratio in `aspect`, resized,
and a flip (Szegedy et al. 2014, arXiv 1409.4842; the first of ten tries that fits, else all that
the aspect ratio allows). Evaluation: the central square of `central` of the shorter side, resized
(256 then 224 pixels: 0.875). Bilinear, antialiased.
"""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustlr.errors import DataError, one_line
from robustlr.workloads.base import Batch
from robustlr.workloads.hub import EncodedImages
from robustlr.workloads.image_tensors import Normalization
from robustlr.workloads.loading import loaded_ahead
from robustlr.workloads.streams import Request

_TRIES = 10
Box = tuple[float, float, float, float]


def decoded(files: EncodedImages, index: int) -> Any:
    """The image as a PIL RGB image. Raises DataError that names it."""
    from PIL import Image

    data = files[index]
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "its format is unknown" if "identify" in str(error) else one_line(str(error))
        raise DataError(f"{files.name(index)} cannot be decoded: {reason}") from error


def as_tensor(image: Any) -> Tensor:
    """uint8, [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@dataclass(frozen=True)
class Framing:
    """Which part of an image is seen, and at which size."""

    size: int
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    central: float = 0.875

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

    def frame(self, image: Any, uniform: Tensor | None) -> Tensor:
        """uint8, [3, size, size]. uniform: 41 numbers for training, None for evaluation."""
        width, height = image.size
        if uniform is None:
            box = self.central_box(width, height)
        else:
            box = self.random_box(width, height, uniform[1:].reshape(_TRIES, 4))
        resized = as_tensor(image.resize((self.size, self.size), _bilinear(), box=box))
        flipped = uniform is not None and self.flip and bool(uniform[0] < 0.5)
        return resized.flip(2) if flipped else resized


class ImageFiles:
    """files and labels (int64, [N]) of one split, at `rows` of the files."""

    def __init__(
        self,
        files: EncodedImages,
        labels: Tensor,
        rows: Tensor,
        framing: Framing,
        normalization: Normalization,
    ) -> None:
        self._files, self._labels, self._rows = files, labels, rows
        self._framing, self._normalization = framing, normalization
        self._device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self._labels)

    def to(self, device: torch.device) -> ImageFiles:
        moved = copy.copy(self)
        moved._device, moved._normalization = device, self._normalization.to(device)
        return moved

    def batch(self, indices: Tensor) -> Batch:
        images, labels = self.load(Request(indices.cpu()))
        return self._normalization(images.to(self._device)), labels.to(self._device)

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        """As many processes decode as this one has threads."""
        on_cpu = self.to(torch.device("cpu"))  # what the workers get
        batches = loaded_ahead(
            on_cpu.load, requests, workers=torch.get_num_threads(), device=self._device
        )
        with closing(batches):
            for images, labels in batches:
                yield self._normalization(images), labels

    def load(self, request: Request) -> tuple[Tensor, Tensor]:
        """uint8 images and labels, on the CPU."""
        uniform = request.draw.uniform(1 + 4 * _TRIES) if request.draw else None
        images = [
            self._framing.frame(
                decoded(self._files, int(self._rows[index])),
                None if uniform is None else uniform[position],
            )
            for position, index in enumerate(request.indices.tolist())
        ]
        return torch.stack(images), self._labels[request.indices]


def _bilinear() -> Any:
    from PIL import Image

    return Image.Resampling.BILINEAR
