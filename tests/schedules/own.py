"""Schedules of a third party, registered through an entry point in the tests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import ArrayLike

from robustlr.schedules import Feedback, FeedbackSchedule, Schedule, registry
from robustlr.schedules.base import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Triangle(Schedule):
    """Up to `peak` of the horizon, then down again."""

    kind: Literal["triangle"] = "triangle"
    peak: float = 0.5

    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        u = np.asarray(step, dtype=np.float64) / num_steps
        return np.interp(u, [0.0, self.peak, 1.0], [0.0, 1.0, 0.0])


@dataclass(frozen=True, slots=True)
class PlateauState:
    best: float | None = None
    multiplier: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau(FeedbackSchedule[PlateauState]):
    """The multiplier shrinks by `shrink` whenever the loss does not improve."""

    kind: Literal["plateau"] = "plateau"
    shrink: float = 0.5
    state_type: ClassVar[type[Any]] = PlateauState

    def init(self, num_steps: int) -> PlateauState:
        return PlateauState()

    def update(self, state: PlateauState, feedback: Feedback) -> PlateauState:
        if state.best is None or feedback.train_loss < state.best:
            return dataclasses.replace(state, best=feedback.train_loss)
        return dataclasses.replace(state, multiplier=state.multiplier * self.shrink)

    def multiplier(self, state: PlateauState) -> float:
        return state.multiplier


class NotASchedule:
    """What somebody registers by mistake."""


def entry_point(name: str, target: str) -> EntryPoint:
    return EntryPoint(name=name, value=f"{__name__}:{target}", group=registry.GROUP)


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    """Make the registry see these entry points and no others; call `uninstall` afterwards."""
    monkeypatch.setattr(registry, "entry_points", lambda *, group: list(points))
    registry.schedule_types.cache_clear()


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    registry.schedule_types.cache_clear()
