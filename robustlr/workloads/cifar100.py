"""CIFAR-100, of a hundred classes, 600 images of each.

Settings of the papers, sources and terms: cifar.py. Mean and standard deviation are those of the
50,000 training images, per channel, in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from robustlr.workloads.cifar import Cifar
from robustlr.workloads.image_tensors import Normalization


@dataclass(frozen=True, kw_only=True)
class Cifar100(Cifar):
    """Photographs of 32 × 32 pixels in 100 classes, and a wide ResNet.

    The options are those of `Cifar`.
    """

    kind: Literal["cifar100"] = "cifar100"
    path: str = "uoft-cs/cifar100"

    classes: ClassVar[int] = 100
    label_column: ClassVar[str] = "fine_label"
    normalization: ClassVar[Normalization] = Normalization(
        (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    )
