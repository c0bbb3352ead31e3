"""What a learning-rate schedule is: a dimensionless shape, with or without feedback.

Notation
    t       step, the number of completed updates, 0 ≤ t < T
    T       num_steps, the horizon in updates, warmup included
    m_t     multiplier in [0, 1]; the learning rate of the update made at step t is
            ``peak_lr * m_t``

A pure `Schedule` knows m from (t, T) alone. A `FeedbackSchedule` also sees what training
reports (`Feedback`), and threads a frozen, serialisable state. `AnySchedule.lifted` turns
either into a `FeedbackSchedule`, so that the training loop knows one protocol.

Every schedule is a frozen dataclass with a literal ``kind`` as its first field: the object
is its own TOML table.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustlr.schedules.feedback import CurvatureRequest, Feedback

FloatArray = NDArray[np.float64]


class AnySchedule(ABC):
    """Common base of pure and feedback schedules."""

    __slots__ = ()
    kind: str

    @property
    def label(self) -> str:
        """Short unique name, and the command line's shorthand: kind and non-default options.

        >>> from robustlr.schedules import WSD
        >>> WSD(decay_fraction=0.5).label
        'wsd:decay_fraction=0.5'
        """
        return self.kind + _options(self)

    @property
    def curvature_request(self) -> CurvatureRequest | None:
        """The estimate this schedule needs in its feedback, or None."""
        return None

    @abstractmethod
    def lifted(self) -> FeedbackSchedule[Any]:
        """This schedule under the one protocol that the training loop knows."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # An abstract type as a field (`then: Schedule`) is parsed through the registry, so
        # that third-party kinds nest too; a concrete class is validated as its own fields.
        if not getattr(cls, "__abstractmethods__", None):
            return handler(source)
        from pydantic_core import core_schema

        from robustlr.schedules.registry import parse_as

        return core_schema.no_info_plain_validator_function(
            lambda value: parse_as(value, cls),
            serialization=core_schema.plain_serializer_function_ser_schema(to_table),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        if getattr(cls, "__abstractmethods__", None):
            # a reference pydantic does not know; robustlr.specs.files.json_schema puts it in
            return {"$comment": "schedule"}
        return handler(core_schema)


class Schedule(AnySchedule):
    """A pure shape: the multiplier is a function of (step, num_steps) alone."""

    __slots__ = ()

    @abstractmethod
    def multiplier(self, step: ArrayLike, num_steps: int) -> FloatArray:
        """m_t for `step` (any shape, broadcasting), 0 ≤ step ≤ num_steps; same shape out.

        ``multiplier(num_steps, num_steps)`` is the limit of the shape: 0 for annealed ones.
        """

    def lifted(self) -> FeedbackSchedule[Any]:
        return Lifted(self)


State = TypeVar("State")


class FeedbackSchedule(AnySchedule, Generic[State]):
    """A schedule that learns from training. State in, state out; nothing hidden.

    For the update at step t the loop calls ``state = update(state, Feedback(t, ...))`` and
    then applies ``multiplier(state)``: the decision may use the loss and the curvature of
    the very weights it is about to change.

    `state_type` is a frozen dataclass whose fields are int, float, str, bool, None, tuples
    of these or a nested dataclass with its own `state_type` handling in `load`.
    """

    __slots__ = ()
    state_type: ClassVar[type[Any]]

    @abstractmethod
    def init(self, num_steps: int) -> State:
        """The state before any update of a run of `num_steps` updates."""

    @abstractmethod
    def update(self, state: State, feedback: Feedback) -> State:
        """The state for the update at ``feedback.step``."""

    @abstractmethod
    def multiplier(self, state: State) -> float:
        """m_t in [0, 1] for the update that `state` was made for."""

    def wants_curvature(self, state: State, step: int) -> bool:
        """Whether the feedback for the update at `step` should bring an estimate.

        state: from the update before, or `init`'s.
        """
        request = self.curvature_request
        return request is not None and step % request.every == 0

    def telemetry(self, state: State) -> Mapping[str, float]:
        """Numbers worth a column in the curves (the smoothed trace, say)."""
        return {}

    def outcome(self, state: State) -> Mapping[str, int | float | str | None]:
        """Facts worth a line in the record (when and why the warmup ended, say).

        A whole number whose name ends in ``_step`` is a step of the run.
        """
        return {}

    def dump(self, state: State) -> dict[str, Any]:
        """`state` as JSON-ready values."""
        return dataclasses.asdict(state)  # type: ignore[call-overload,no-any-return]

    def load(self, values: Mapping[str, Any]) -> State:
        """The inverse of `dump`, also after a round trip through JSON."""
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return self.state_type(**fields)  # type: ignore[no-any-return]

    def lifted(self) -> FeedbackSchedule[Any]:
        return self


@dataclass(frozen=True, slots=True)
class LiftedState:
    """Where a pure schedule stands: step of num_steps."""

    step: int
    num_steps: int


@dataclass(frozen=True, slots=True)
class Lifted(FeedbackSchedule[LiftedState]):
    """A pure schedule under the feedback protocol."""

    schedule: Schedule
    kind: str = "lifted"
    state_type: ClassVar[type[Any]] = LiftedState

    @property
    def label(self) -> str:
        return self.schedule.label

    def init(self, num_steps: int) -> LiftedState:
        return LiftedState(0, num_steps)

    def update(self, state: LiftedState, feedback: Feedback) -> LiftedState:
        return LiftedState(feedback.step, state.num_steps)

    def multiplier(self, state: LiftedState) -> float:
        return float(self.schedule.multiplier(state.step, state.num_steps))


def parse_field(schedule: AnySchedule, name: str) -> None:
    """Put the schedule that is meant in place of a table or shorthand in the field `name`.

    Raises SpecError where it means none.
    """
    from robustlr.schedules.registry import parse

    # through object's: the dataclass is frozen once __post_init__ is over
    object.__setattr__(schedule, name, parse(getattr(schedule, name)))


def to_table(schedule: AnySchedule) -> dict[str, Any]:
    """The schedule as the TOML table that makes it again, every field written out."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(schedule):  # type: ignore[arg-type]
        value = getattr(schedule, field.name)
        if isinstance(value, AnySchedule):
            value = to_table(value)
        elif isinstance(value, tuple):
            value = list(value)
        table[field.name] = value
    return table


def number(value: float) -> str:
    """The shortest decimal that reads back as `value`.

    >>> number(2.0), number(0.1), number(1 / 3)
    ('2', '0.1', '0.3333333333333333')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _options(schedule: AnySchedule) -> str:
    shown = []
    for field in dataclasses.fields(schedule):  # type: ignore[arg-type]
        value = getattr(schedule, field.name)
        default = (
            field.default
            if field.default_factory is dataclasses.MISSING
            else field.default_factory()
        )
        if field.name != "kind" and value != default:
            shown.append(f"{field.name}={_option(value)}")
    return ":" + ",".join(shown) if shown else ""


def _option(value: Any) -> str:
    if isinstance(value, AnySchedule):
        plain = value.label.replace("_", "").isalnum()
        return value.label if plain else f"({value.label})"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ",".join(map(_option, value)) + "]"
    return number(value) if isinstance(value, float) else str(value)
