"""CIFAR-10, of ten classes, 6,000 images of each.

Settings of the papers, sources and terms: cifar.py. Mean and standard deviation are those of the
50,000 training images, per channel, in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from robustlr.workloads.cifar import Cifar
from robustlr.workloads.image_tensors import Normalization


@dataclass(frozen=True, kw_only=True)
class Cifar10(Cifar):
    """Photographs of 32 × 32 pixels in 10 classes, and a wide ResNet.

    The options are those of `Cifar`.
    """

    kind: Literal["cifar10"] = "cifar10"
    path: str = "uoft-cs/cifar10"

    classes: ClassVar[int] = 10
    label_column: ClassVar[str] = "label"
    normalization: ClassVar[Normalization] = Normalization(
        (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    )
