"""ImageNet (ILSVRC 2012): 1,281,167 photographs of 1,000 classes, and networks for them.

What the networks' papers trained with, for a study to take over. ResNet-50 (He et al. 2015, arXiv
1512.03385; Goyal et al. 2017, arXiv 1706.02677): SGD with Nesterov momentum 0.9, weight decay
1e-4, batches of 256, 90 passes (450,000 updates), learning rate 0.1·(batch/256) to a tenth after
30, 60 and 80 passes. EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946): RMSProp, weight decay
1e-5, dropout 0.2, label smoothing 0.1. Large batches (Kim et al. 2021, arXiv 2107.05855): 4,096
and 16,384, AdamP, 120 passes. Both crop as Szegedy et al. 2014 and evaluate the central crop.

The labels of the test images are not public: the official validation split (50,000) is our test
split, and a share of the training split is our validation. Terms: research and education alone,
accepted on the data set's page; about 150 GB as Parquet, and as much again as Arrow files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from robustlr.errors import SpecError
from robustlr.versions import installed_versions
from robustlr.workloads.architectures import make_config
from robustlr.workloads.base import Batch, Split
from robustlr.workloads.hub import Source
from robustlr.workloads.image_classification import ImageClassification
from robustlr.workloads.image_classifier import image_classifier
from robustlr.workloads.image_examples import IMAGENET, ImageExamples, image_examples
from robustlr.workloads.image_files import Framing
from robustlr.workloads.image_rows import ImageRows, data_version, fixed_split, read_rows

_ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "resnet50": ("resnet", {}),
    "efficientnet_b0": (
        "efficientnet",
        {
            "width_coefficient": 1.0,
            "depth_coefficient": 1.0,
            "hidden_dim": 1280,
            "image_size": 224,
            "dropout_rate": 0.2,
        },
    ),
}
# EfficientNet's paper keeps 0.99 of a running mean; transformers gives some layers that number as
# the share to replace, and others torch's default
_REPLACED = {"resnet50": 0.1, "efficientnet_b0": 0.01}


@dataclass(frozen=True, kw_only=True)
class ImageNet(ImageClassification):
    """Photographs in 1,000 classes, and ResNet-50 or EfficientNet-B0, with fresh weights.

    network: "resnet50" (25,557,032 weights) or "efficientnet_b0" (5,288,548). network_options:
    by their names in transformers' configuration, to make it smaller (depths, hidden_sizes).
    path: hub id or local folder with image and label. size: pixels of the crops. smallest_area:
    of a training crop, as a share of the image. central: side of evaluation's square, as a share
    of the shorter side. flip: mirror every second image.
    """

    kind: Literal["imagenet"] = "imagenet"
    path: str = "ILSVRC/imagenet-1k"
    network: str = "resnet50"
    network_options: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 1000
    valid_share: float = 0.01
    size: int = 224
    smallest_area: float = 0.08
    central: float = 0.875
    flip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network not in _ARCHITECTURES:
            known = ", ".join(sorted(_ARCHITECTURES))
            raise SpecError(f"unknown network '{self.network}'; known: {known}")
        if self.classes < 2 or self.size < 1:
            raise SpecError(
                f"classes must be 2 or more and size 1 or more, got {self.classes}, {self.size}"
            )
        for name in ("smallest_area", "central"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise SpecError(f"{name} must be in (0, 1], got {getattr(self, name)}")
        self._configuration()  # a wrong option is told before any cell runs

    @property
    def chance_loss(self) -> float:
        return math.log(self.classes)

    @property
    def evaluation_batch(self) -> int:
        return 256

    def model(self, seed: int) -> nn.Module:
        model = image_classifier(self._configuration())
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _REPLACED[self.network]
        return model

    def _configuration(self) -> Any:
        architecture, options = _ARCHITECTURES[self.network]
        changed = {**options, **self.network_options, "num_labels": self.classes}
        return make_config(architecture, changed, "image_classification")

    def specimen(self, size: int) -> Batch:
        return torch.zeros(size, 3, self.size, self.size), torch.zeros(size, dtype=torch.int64)

    def examples(self, split: Split, seed: int) -> ImageExamples:
        return self._splits[split]

    def provenance(self) -> Mapping[str, str]:
        libraries = installed_versions("datasets", "pillow", "transformers")
        return {"data": self._data_version} | libraries

    @cached_property
    def _data_version(self) -> str:
        return data_version(self.path, self._rows)

    @cached_property
    def _splits(self) -> dict[Split, ImageExamples]:
        framing = Framing(self.size, flip=self.flip, area=(self.smallest_area, 1.0))
        seen = Framing(self.size, self.central, random=False)
        return {
            split: image_examples(rows, framing if split == "train" else seen, IMAGENET)
            for split, rows in self._rows.items()
        }

    @cached_property
    def _rows(self) -> dict[Split, ImageRows]:
        source = Source(
            self.path,
            size="about 150 GB",
            terms=f"accept its terms at https://huggingface.co/datasets/{self.path} first",
        )

        def read(split: str) -> ImageRows:
            return read_rows(
                source,
                split,
                image="image",
                label="label",
                classes=self.classes,
                limit=self.limit,
            )

        train, valid = fixed_split(read("train"), self.valid_share)
        return {"train": train, "valid": valid, "test": read("validation")}
