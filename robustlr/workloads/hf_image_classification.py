"""Any labelled images that `datasets` reads, and any image classifier of transformers.

A hub id that is on this machine, a local folder of Parquet files, or a folder of images
(split/class/name.jpg), with any configuration that transformers classifies images with: the name
of an architecture ("resnet", "vit", "convnext"), a folder or file with a configuration of your
own, or a hub id. Weights are fresh, or read from a folder of safetensors.

Settings are yours to choose; `batch_size`, weight decay and the like belong to the study. The
default data is Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747; MIT licence; 60,000 and 10,000
images of 28 × 28 pixels, read as colour).
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
from robustlr.workloads.architectures import make_config, weights_version
from robustlr.workloads.augmentation import Augmentation
from robustlr.workloads.base import Batch, Split
from robustlr.workloads.hub import Source
from robustlr.workloads.image_classification import ImageClassification
from robustlr.workloads.image_classifier import image_classifier
from robustlr.workloads.image_examples import IMAGENET, ImageExamples, image_examples
from robustlr.workloads.image_files import Framing
from robustlr.workloads.image_rows import ImageRows, data_version, fixed_split, read_rows

_FASHION_MNIST = "zalando-datasets/fashion_mnist"


@dataclass(frozen=True, kw_only=True)
class HFImageClassification(ImageClassification):
    """Images and labels of any data set of Hugging Face, and any classifier of transformers.

    path: folder, Parquet file or hub id; subset: its configuration or subfolder. valid_split: its
    name, or "" for valid_share of the training split. classes: of the labels, 0 … classes − 1, as
    many as the data names if it does.
    architecture: name, folder, file or hub id; architecture_options: by their names in its
    configuration. weights: folder of safetensors, or "" for fresh ones.
    size: images are resized to size × size pixels. crop: in training by a random box ("box"), by
    shifts of up to `padding` pixels ("shift"), or as in evaluation ("none"). central: side of
    evaluation's square, as a share of the shorter side. flip: mirror every second image; cutout:
    side of the square, pixels, 0 for none.
    """

    kind: Literal["hf_image_classification"] = "hf_image_classification"
    path: str = _FASHION_MNIST
    subset: str = ""
    train_split: str = "train"
    valid_split: str = ""
    test_split: str = "test"
    image_column: str = "image"
    label_column: str = "label"
    classes: int = 10
    architecture: str = "resnet"
    architecture_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    size: int = 32
    crop: Literal["box", "shift", "none"] = "shift"
    padding: int = 4
    central: float = 1.0
    flip: bool = True
    cutout: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 2 or self.size < 1:
            raise SpecError(
                f"classes must be 2 or more and size 1 or more, got {self.classes}, {self.size}"
            )
        if not 0.0 < self.central <= 1.0:
            raise SpecError(f"central must be in (0, 1], got {self.central}")
        self._augmentation.check(self.size)
        self._configuration()  # a wrong name or option is told before any cell runs

    @property
    def chance_loss(self) -> float:
        return math.log(self.classes)

    @property
    def evaluation_batch(self) -> int:
        return 256

    def model(self, seed: int) -> nn.Module:
        return image_classifier(self._configuration(), self.weights or None)

    def _configuration(self) -> Any:
        changed = {**self.architecture_options, "num_labels": self.classes}
        return make_config(self.architecture, changed, "image_classification")

    def specimen(self, size: int) -> Batch:
        return torch.zeros(size, 3, self.size, self.size), torch.zeros(size, dtype=torch.int64)

    def examples(self, split: Split, seed: int) -> ImageExamples:
        return self._splits[split]

    @property
    def _augmentation(self) -> Augmentation:
        """What is left to do on the device: boxes are flipped where they are cut."""
        if self.crop == "box":
            return Augmentation(padding=0, flip=False, cutout=self.cutout)
        padding = self.padding if self.crop == "shift" else 0
        return Augmentation(padding, self.flip, self.cutout)

    def provenance(self) -> Mapping[str, str]:
        facts = {"data": self._data_version}
        if self.weights:
            facts["weights"] = weights_version(self.weights)
        return facts | installed_versions("datasets", "pillow", "transformers")

    @cached_property
    def _data_version(self) -> str:
        return data_version(self.path, self._rows)

    @cached_property
    def _rows(self) -> dict[Split, ImageRows]:
        train = self._read(self.train_split)
        if self.valid_split:
            valid = self._read(self.valid_split)
        else:
            train, valid = fixed_split(train, self.valid_share)
        return {"train": train, "valid": valid, "test": self._read(self.test_split)}

    @cached_property
    def _splits(self) -> dict[Split, ImageExamples]:
        seen = Framing(self.size, self.central, random=False)
        trained = Framing(self.size, self.central, random=self.crop == "box", flip=self.flip)
        rows = self._rows
        return {
            "train": image_examples(rows["train"], trained, IMAGENET, self._augmentation),
            "valid": image_examples(rows["valid"], seen, IMAGENET),
            "test": image_examples(rows["test"], seen, IMAGENET),
        }

    def _read(self, split: str) -> ImageRows:
        size = "about 0.04 GB, MIT licence" if self.path == _FASHION_MNIST else ""
        return read_rows(
            Source(self.path, self.subset, size=size),
            split,
            image=self.image_column,
            label=self.label_column,
            classes=self.classes,
            limit=self.limit,
            all_named=True,
        )
