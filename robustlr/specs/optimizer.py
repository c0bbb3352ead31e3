"""Which optimizer a cell uses, as data; `robustlr.optimizers` builds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from robustlr.errors import SpecError


def _require_non_negative(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise SpecError(f"{name} must be zero or positive, got {value}")


def _require_betas(beta1: float, beta2: float) -> None:
    for name, value in (("beta1", beta1), ("beta2", beta2)):
        if not 0.0 <= value < 1.0:
            raise SpecError(f"{name} must be in [0, 1), got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD:
    """torch.optim.SGD: momentum, optionally Nesterov, L2 weight decay."""

    kind: Literal["sgd"] = "sgd"
    label: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _require_non_negative(weight_decay=self.weight_decay)
        if not 0.0 <= self.momentum < 1.0:
            raise SpecError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.nesterov and self.momentum == 0.0:
            raise SpecError("nesterov needs a momentum above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """torch.optim.Adam (L2 weight decay)."""

    kind: Literal["adam"] = "adam"
    label: str = "adam"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _require_non_negative(eps=self.eps, weight_decay=self.weight_decay)
        _require_betas(self.beta1, self.beta2)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW:
    """torch.optim.AdamW (decoupled weight decay)."""

    kind: Literal["adamw"] = "adamw"
    label: str = "adamw"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        _require_non_negative(eps=self.eps, weight_decay=self.weight_decay)
        _require_betas(self.beta1, self.beta2)


@dataclass(frozen=True, slots=True, kw_only=True)
class PytorchOptimizer:
    """Any optimizer of pytorch_optimizer, by name (``pip install robustlr[optimizers]``).

    name: such as "AdamP" or "Lamb", in any case. options: keyword arguments of its class, checked
    against its signature before any cell runs.
    """

    kind: Literal["pytorch_optimizer"] = "pytorch_optimizer"
    name: str
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SpecError("name must name an optimizer of pytorch_optimizer, such as 'AdamP'")
        if "lr" in self.options:
            raise SpecError("options.lr cannot be set: the grid sets the learning rate")
        if not self.label:
            object.__setattr__(self, "label", self.name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryOptimizer:
    """Your own: ``factory(parameters, lr=..., **options) -> torch.optim.Optimizer``.

    factory: "package.module:name".
    """

    kind: Literal["factory"] = "factory"
    factory: str
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_factory(self.factory)
        if "lr" in self.options:
            raise SpecError("options.lr cannot be set: the grid sets the learning rate")
        if not self.label:
            object.__setattr__(self, "label", self.factory.rpartition(":")[2])


OptimizerSpec = Annotated[
    SGD | Adam | AdamW | PytorchOptimizer | FactoryOptimizer, Field(discriminator="kind")
]


def require_factory(text: str) -> None:
    """Raise SpecError unless `text` reads package.module:name."""
    module, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise SpecError(f"a factory is written package.module:name, got '{text}'")
