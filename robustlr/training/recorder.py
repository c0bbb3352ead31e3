"""The curve of a run while it grows, and its summary at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl
import torch

from robustlr.records import CURVE_SCHEMA, RunSummary

Row = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Losses and metrics of the validation and test splits at one moment."""

    valid_loss: float
    test_loss: float
    valid_metric: float
    test_metric: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.valid_loss) and math.isfinite(self.test_loss)


@dataclass(slots=True)
class Costs:
    """What a run has spent so far; evaluation is not part of `wall_seconds`."""

    example_passes: float = 0.0
    curvature_passes: float = 0.0
    evaluation_passes: float = 0.0
    wall_seconds: float = 0.0


@dataclass(slots=True)
class CurveRecorder:
    """Collects rows; a number that is not finite becomes null. on_row: is told of each."""

    rows: list[Row] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)
    on_row: Callable[[Row], None] | None = None
    _loss_sum: float = 0.0
    _loss_count: int = 0
    initial: Evaluation | None = None
    _best: Evaluation | None = None
    _last: Evaluation | None = None

    def add_loss(self, loss: float) -> None:
        """Count one update's training loss into the next row's mean."""
        self._loss_sum += loss
        self._loss_count += 1

    def add_row(
        self,
        step: int,
        *,
        lr: float | None = None,
        grad_norm: float | None = None,
        evaluation: Evaluation | None = None,
        telemetry: Mapping[str, float] | None = None,
    ) -> None:
        """One row of the curve: see `robustlr.records.CURVE_SCHEMA` for its columns."""
        mean_loss = self._loss_sum / self._loss_count if self._loss_count else None
        self._loss_sum, self._loss_count = 0.0, 0
        row: Row = {
            "step": step,
            "lr": lr,
            "train_loss": _finite(mean_loss),
            "grad_norm": _finite(grad_norm),
            **{name: _finite(value) for name, value in (telemetry or {}).items()},
        }
        for name in Costs.__slots__:
            row[name] = getattr(self.costs, name)
        if evaluation is not None:
            row |= _numbers(evaluation)
            self.initial = self.initial or evaluation
            self._last = evaluation
            if evaluation.finite and (
                self._best is None or evaluation.valid_loss < self._best.valid_loss
            ):
                self._best = evaluation
        self.rows.append(row)
        if self.on_row is not None:
            self.on_row(row)

    def diverge(self, step: int, lr: float | None) -> None:
        """The run ended after `step` updates: it has no final value, whatever it had before."""
        if self.rows[-1]["step"] != step:
            self.add_row(step, lr=lr)
        self._last = None

    def state(self) -> dict[str, Any]:
        """Everything so far, for a checkpoint: the rows as one float64 tensor, null as NaN."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        rows = [[_number(row.get(name)) for name in names] for row in self.rows]
        seen = {name: getattr(self, name) for name in _EVALUATIONS}
        return {
            "columns": names,
            "rows": torch.tensor(rows, dtype=torch.float64),
            "costs": asdict(self.costs),
            "loss": (self._loss_sum, self._loss_count),
            "evaluations": {name: value and asdict(value) for name, value in seen.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`, in place."""
        numbers = [
            {name: _finite(value) for name, value in zip(state["columns"], row, strict=True)}
            for row in state["rows"].tolist()
        ]
        self.rows = [{**row, "step": int(row["step"] or 0)} for row in numbers]
        self.costs = Costs(**state["costs"])
        self._loss_sum, self._loss_count = state["loss"]
        for name, value in state["evaluations"].items():
            setattr(self, name, value and Evaluation(**value))

    def curve(self) -> pl.DataFrame:
        """All rows, with CURVE_SCHEMA's columns first and telemetry behind them."""
        extra = {name for row in self.rows for name in row} - set(CURVE_SCHEMA)
        schema = CURVE_SCHEMA | {name: pl.Float64() for name in sorted(extra)}
        return pl.DataFrame(self.rows, schema=schema)

    def summary(self, steps: int) -> RunSummary:
        """The run's numbers after `steps` updates."""
        final = {} if self._last is None else _numbers(self._last)
        best = {} if self._best is None else _numbers(self._best)
        first = {} if self.initial is None else _numbers(self.initial)
        return RunSummary(
            **final,
            best_valid_loss=best.get("valid_loss"),
            best_test_loss=best.get("test_loss"),
            initial_valid_loss=first.get("valid_loss"),
            initial_test_loss=first.get("test_loss"),
            steps=steps,
            example_passes=self.costs.example_passes,
            curvature_passes=self.costs.curvature_passes,
            evaluation_passes=self.costs.evaluation_passes,
            wall_seconds=self.costs.wall_seconds,
        )


_EVALUATIONS = ("initial", "_best", "_last")


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(evaluation: Evaluation) -> dict[str, float | None]:
    return {name: _finite(getattr(evaluation, name)) for name in Evaluation.__slots__}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
