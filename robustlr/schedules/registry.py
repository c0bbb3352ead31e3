"""Every schedule by name: ours, and third parties' through the entry point robustlr.schedules.

A schedule is written as a TOML table (``{kind = "polynomial", degree = 2}``) or, on the
command line and nested in a table, as a shorthand: ``polynomial:degree=2``,
``cosine+warmup``, ``cosine+warmup=0.05``; an option that is a schedule itself may stand in
brackets: ``curvature_adaptive:anneal=(wsd:decay_fraction=0.5)``. Both go through `parse`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from inspect import isabstract
from typing import Any, TypeVar

from robustlr.errors import SpecError, did_you_mean, one_line
from robustlr.schedules.auto_warmup import AutoWarmup
from robustlr.schedules.base import AnySchedule
from robustlr.schedules.cosine import Cosine
from robustlr.schedules.curvature_adaptive import CurvatureAdaptive
from robustlr.schedules.fixed import Fixed
from robustlr.schedules.inverse_sqrt import InverseSqrt
from robustlr.schedules.polynomial import Polynomial
from robustlr.schedules.tabulated import Tabulated
from robustlr.schedules.warmup import Warmup
from robustlr.schedules.wsd import WSD
from robustlr.validation import parse_table, validate

GROUP = "robustlr.schedules"
_BUILTIN: tuple[type[AnySchedule], ...] = (
    Fixed,
    Cosine,
    Polynomial,
    WSD,
    InverseSqrt,
    Tabulated,
    Warmup,
    CurvatureAdaptive,
    AutoWarmup,
)
ALIASES: Mapping[str, Mapping[str, Any]] = {"linear": {"kind": "polynomial", "degree": 1.0}}

AnyScheduleT = TypeVar("AnyScheduleT", bound=AnySchedule)


@cache
def schedule_types() -> dict[str, type[AnySchedule]]:
    """Every registered schedule class by its kind.

    Raises SpecError when an installed entry point cannot be imported, is no schedule, or would
    take the name of another.
    """
    types = {_kind(cls): cls for cls in _BUILTIN}
    for point in entry_points(group=GROUP):
        where = f"entry point {GROUP}:{point.name}"
        try:
            cls = point.load()
        except Exception as error:
            detail = one_line(f"{type(error).__name__}: {error}")
            raise SpecError(f"{where} cannot be loaded: {detail}") from error
        if not (isinstance(cls, type) and issubclass(cls, AnySchedule)) or isabstract(cls):
            raise SpecError(f"{where} is not a robustlr schedule class")
        if _kind(cls) != point.name:
            raise SpecError(f"{where} must be a dataclass whose field kind is '{point.name}'")
        if point.name in types or point.name in ALIASES:
            raise SpecError(f"{where} takes the name of another schedule: rename yours")
        types[point.name] = cls
    return types


def _kind(cls: type[AnySchedule]) -> Any:
    fields = getattr(cls, "__dataclass_fields__", {})
    return fields["kind"].default if "kind" in fields else None


def parse(value: Any) -> AnySchedule:
    """A schedule from a schedule, a table or a shorthand. Raises SpecError on bad input.

    >>> parse("polynomial:degree=2")
    Polynomial(kind='polynomial', degree=2.0)
    >>> parse("cosine+warmup=0.05").label
    'cosine+warmup=0.05'
    """
    if isinstance(value, AnySchedule):
        return value
    cls, table = _resolve(value)
    return parse_table(cls, table, where=f"schedule '{table['kind']}'")


def parse_as(value: Any, cls: type[AnyScheduleT]) -> AnyScheduleT:
    """Like `parse`, for use inside a larger spec, and insist on a subclass of `cls`.

    Raises SpecError or pydantic's ValidationError, whose path the larger spec extends.
    """
    schedule = value if isinstance(value, AnySchedule) else validate(*_resolve(value))
    if not isinstance(schedule, cls):
        raise SpecError(f"'{schedule.label}' cannot stand here: a {cls.__name__} is needed")
    return schedule


def _resolve(value: Any) -> tuple[type[AnySchedule], Mapping[str, Any]]:
    table = _shorthand(value) if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise SpecError(f"a schedule is a table with a kind, or a name; got {value!r}")
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise SpecError("a schedule's table needs a kind, such as kind = 'cosine'")
    alias = ALIASES.get(kind, {})
    for key in alias:
        if key != "kind" and key in table:
            raise SpecError(f"'{kind}' fixes {key}; write kind = '{alias['kind']}' to choose it")
    table = {**table, **alias}
    types = schedule_types()
    if table["kind"] not in types:
        raise SpecError(f"unknown schedule '{kind}'; {did_you_mean(kind, [*types, *ALIASES])}")
    return types[table["kind"]], table


def _shorthand(text: str) -> dict[str, Any]:
    head, *tail = _split(text, "+")
    kind, _, options = head.partition(":")
    table: dict[str, Any] = {"kind": kind.strip()}
    for part in filter(None, (part.strip() for part in _split(options, ","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise SpecError(f"'{part}' in '{text}' must be written option=value")
        table[key.strip()] = _value(value.strip())
    if not tail:
        return table
    name, _, fraction = tail[0].partition("=")
    if len(tail) > 1 or name.strip() != "warmup":
        raise SpecError(
            f"only '+warmup' or '+warmup=FRACTION' may follow a schedule, got '+{'+'.join(tail)}'"
        )
    wrapped: dict[str, Any] = {"kind": "warmup", "then": table}
    if fraction:
        wrapped["warmup_fraction"] = _value(fraction.strip())
    return wrapped


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside brackets.

    >>> _split("a=(x:b=1,c=2),d=[3,4]", ",")
    ['a=(x:b=1,c=2)', 'd=[3,4]']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _value(text: str) -> Any:
    if text.startswith("(") and text.endswith(")"):  # a schedule's shorthand inside another
        return text[1:-1]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text
