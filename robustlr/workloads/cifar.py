"""CIFAR: 60,000 colour images of 32 × 32 pixels (Krizhevsky 2009), and networks for them.

What the networks' papers trained with, for a study to take over: SGD with Nesterov momentum 0.9,
weight decay 5e-4, batches of 128, 200 passes over the data (78,000 updates), learning rate 0.1
with steps to a fifth after 60, 120 and 160 passes; crops with 4 pixels of reflected padding and
flips (Zagoruyko & Komodakis 2016, arXiv 1605.07146). Weight decay, momentum and batch size belong
to the study's optimizer and batch_size. Cutout (DeVries & Taylor 2017, arXiv 1708.04552): side 16
for CIFAR-10, 8 for CIFAR-100.

The 50,000 training images are divided 45,000 to 5,000 into training and validation; the 10,000
test images are the test split. All stay on the device as bytes (180 MB). The owners ask to be
cited and state no licence: research use is common practice, other use is yours to judge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.errors import SpecError
from robustlr.versions import installed_versions
from robustlr.workloads.augmentation import Augmentation
from robustlr.workloads.base import Batch, Split
from robustlr.workloads.hub import Source
from robustlr.workloads.image_classification import ImageClassification
from robustlr.workloads.image_rows import (
    ImageRows,
    ShapeError,
    as_tensor,
    data_version,
    fixed_split,
    read_rows,
)
from robustlr.workloads.image_tensors import ImageTensors, Normalization
from robustlr.workloads.resnet18 import ResNet18
from robustlr.workloads.wide_resnet import WideResNet

_SIZE = 32
_DOWNLOAD = "about 0.14 GB, no licence stated: its owners ask to be cited"
_WIDE = re.compile(r"wrn-(\d{1,3})-(\d{1,2})")


@dataclass(frozen=True, kw_only=True)
class Cifar(ImageClassification):
    """network: "wrn-d-k" (wrn-28-10, wrn-16-4, ...) or "resnet18".

    path: hub id, local folder or Parquet file. dropout: inside the blocks of a wide ResNet.
    padding: pixels of the random crops. flip: mirror every second image. cutout: side of the
    square, pixels; 0 for none. size: images are averaged down to so many pixels, 32, 16, 8 or 4.
    """

    path: str
    network: str = "wrn-28-10"
    dropout: float = 0.0
    padding: int = 4
    flip: bool = True
    cutout: int = 0
    size: int = 32

    classes: ClassVar[int]
    label_column: ClassVar[str]
    normalization: ClassVar[Normalization]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in (32, 16, 8, 4):
            raise SpecError(f"size must be 32, 16, 8 or 4, got {self.size}")
        if not 0.0 <= self.dropout < 1.0:
            raise SpecError(f"dropout must be in [0, 1), got {self.dropout}")
        self._augmentation.check(self.size)
        with torch.device("meta"):
            self.model(0)

    @property
    def chance_loss(self) -> float:
        return math.log(self.classes)

    def model(self, seed: int) -> nn.Module:
        wide = _WIDE.fullmatch(self.network)
        if wide:
            return WideResNet(int(wide[1]), int(wide[2]), self.classes, self.dropout)
        if self.network != "resnet18":
            raise SpecError(
                f"unknown network '{self.network}'; known: resnet18, and wrn-d-k of any depth d "
                "and width k (wrn-28-10, wrn-16-4)"
            )
        return ResNet18(self.classes)

    def specimen(self, size: int) -> Batch:
        return torch.zeros(size, 3, self.size, self.size), torch.zeros(size, dtype=torch.int64)

    def examples(self, split: Split, seed: int) -> ImageTensors:
        images, labels = self._data.parts[split]
        augmentation = self._augmentation if split == "train" else None
        return ImageTensors(images, labels, self.normalization, augmentation)

    def provenance(self) -> Mapping[str, str]:
        return {"data": self._data.version} | installed_versions("datasets", "pillow")

    @property
    def _data(self) -> _Data:
        source = Source(self.path, size=_DOWNLOAD)
        columns = (self.label_column, self.classes)
        return _load(source, *columns, self.valid_share, self.limit, self.size)

    @property
    def _augmentation(self) -> Augmentation:
        return Augmentation(self.padding, self.flip, self.cutout)


@dataclass(frozen=True)
class _Data:
    """parts: uint8 images and int64 labels of every split. version: which they are, in words."""

    parts: Mapping[Split, tuple[Tensor, Tensor]]
    version: str


@lru_cache(maxsize=2)  # cells of a worker share their data
def _load(
    source: Source, label: str, classes: int, valid_share: float, limit: int, size: int
) -> _Data:

    def read(split: str) -> ImageRows:
        return read_rows(source, split, image="img", label=label, classes=classes, limit=limit)

    train, valid = fixed_split(read("train"), valid_share)
    splits: dict[Split, ImageRows] = {"train": train, "valid": valid, "test": read("test")}
    parts = {
        split: (_averaged(rows.decode(_framed), size), rows.labels)
        for split, rows in splits.items()
    }
    return _Data(parts, data_version(source.path, splits))


def _framed(image: Any) -> Tensor:
    if image.size != (_SIZE, _SIZE):
        width, height = image.size
        raise ShapeError(f"has {width} × {height} pixels, but CIFAR's have {_SIZE} × {_SIZE}")
    return as_tensor(image)


def _averaged(images: Tensor, size: int) -> Tensor:
    if size == _SIZE:
        return images
    return functional.avg_pool2d(images.float(), _SIZE // size).round().byte()
