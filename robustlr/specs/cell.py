"""One grid point of a study, and the hash that names it everywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from robustlr.errors import SpecError
from robustlr.schedules import AnySchedule, to_table
from robustlr.specs.grid import learning_rate
from robustlr.specs.optimizer import OptimizerSpec, require_factory
from robustlr.specs.training import TrainingSpec
from robustlr.validation import parse_table

_EXPONENT = re.compile(r"-?[0-9]{1,9}(/[1-9][0-9]{0,8})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """Which workload, with which options; the workload itself checks the options.

    kind: a registered name, or "factory" with `factory` = "package.module:name".
    label: its name in the study; the kind (or the factory's name) unless given.
    """

    kind: str = "factory"
    factory: str | None = None
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.kind == "factory") != (self.factory is not None):
            raise SpecError("a workload needs either a kind or a factory = 'package.module:name'")
        if self.factory is not None:
            require_factory(self.factory)
        if not self.label:
            name = self.kind if self.factory is None else self.factory.rpartition(":")[2]
            object.__setattr__(self, "label", name)

    @staticmethod
    def gather(table: Any) -> Any:
        """In a study file a workload's options stand beside its kind: gather them."""
        if not isinstance(table, Mapping):
            return table
        own = {key: table[key] for key in ("kind", "factory", "label") if key in table}
        beside = {key: table[key] for key in table if key not in own and key != "options"}
        options = table.get("options", {})
        return {
            **own,
            "options": {**options, **beside} if isinstance(options, Mapping) else options,
        }


@dataclass(frozen=True, kw_only=True)
class Cell:
    """workload × optimizer × batch size × horizon × schedule × peak learning rate × seed.

    lr_exponent: log₁₀ of the peak learning rate as an exact fraction, "-3/4".
    batch_size: examples per update over all ranks. num_steps: T, updates.
    """

    workload: WorkloadSpec
    optimizer: OptimizerSpec
    schedule: AnySchedule
    batch_size: int
    num_steps: int
    lr_exponent: str
    seed: int
    training: TrainingSpec = field(default_factory=TrainingSpec)

    def __post_init__(self) -> None:
        if not _EXPONENT.fullmatch(self.lr_exponent) or (
            str(Fraction(self.lr_exponent)) != self.lr_exponent
        ):
            raise SpecError(f"lr_exponent must be a reduced fraction, got '{self.lr_exponent}'")

    @cached_property
    def peak_lr(self) -> float:
        return learning_rate(Fraction(self.lr_exponent))

    @property
    def setting(self) -> str:
        """What schedules are compared within: workload, optimizer, batch size, horizon."""
        return (
            f"{self.workload.label} · {self.optimizer.label} · "
            f"batch {self.batch_size} · {self.num_steps} updates"
        )

    @cached_property
    def key(self) -> str:
        """Content hash: file name and Optuna user attribute.

        Labels do not take part, nor the order of options, nor whether a number is written 2 or 2.0.
        """
        table = self.table() | {"training": self.training.identity()}
        for part in ("workload", "optimizer"):
            table[part] = {k: v for k, v in table[part].items() if k != "label"}
        text = json.dumps(_plain(table), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def table(self) -> dict[str, Any]:
        """JSON-ready; `Cell.from_table` is the inverse."""
        return {
            "workload": dataclasses.asdict(self.workload),
            "optimizer": dataclasses.asdict(self.optimizer),
            "schedule": to_table(self.schedule),
            "batch_size": self.batch_size,
            "num_steps": self.num_steps,
            "lr_exponent": self.lr_exponent,
            "seed": self.seed,
            "training": dataclasses.asdict(self.training),
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Cell:
        """Raises SpecError where the table is not a cell's."""
        return parse_table(cls, table, where="cell")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else value
