"""How tables become objects: a plain table in, a frozen dataclass out, errors with their path.

Tables are validated as JSON in strict mode: lists become tuples and integers floats, but a
string never becomes a number, and an unknown key is an error (``extra="forbid"``; without
it a mistyped key passes silently).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError, with_config

from robustlr.errors import SpecError, did_you_mean, one_line

T = TypeVar("T")


def validate(cls: type[T], table: Mapping[str, Any]) -> T:
    """`table` as a `cls`. Raises pydantic's ValidationError: for use inside a larger spec."""
    kind: Any = cls
    checked: T = adapter(kind).validate_json(json.dumps(table, default=str), strict=True)
    return checked


def parse_table(cls: type[T], table: Mapping[str, Any], *, where: str = "") -> T:
    """`table` as a `cls`. Raises SpecError with one line that names every bad key.

    where: what the keys are in, such as a file's name; put in front of the message.
    """
    try:
        return validate(cls, table)
    except ValidationError as error:
        raise SpecError(explain(error, where=where)) from error


def explain(error: ValidationError, *, where: str = "") -> str:
    """One line for a ValidationError: 'where: path: message; path: message'."""
    parts = []
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "unexpected_keyword_argument":
            message = "unknown key"
        elif detail["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            message = "is required"
        elif detail["type"] == "union_tag_invalid":
            known = [tag.strip(" '") for tag in detail["ctx"]["expected_tags"].split(",")]
            tag = detail["ctx"]["tag"]
            message = f"unknown kind '{tag}'; {did_you_mean(tag, known)}"
        elif detail["type"] == "union_tag_not_found":
            message = "needs a kind"
        else:
            message = message[:1].lower() + message[1:]
            if detail["type"] != "value_error":
                message += f", got {_shown(detail['input'])}"
        parts.append(f"{path}: {message}" if path else message)
    text = one_line("; ".join(parts))
    return f"{where}: {text}" if where else text


@cache
def adapter(cls: Any) -> TypeAdapter[Any]:
    """The strict TypeAdapter of a dataclass, made once."""
    return TypeAdapter(with_config({"extra": "forbid"})(cls))


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for position, part in enumerate(location):
        if position and _is_tag(location[:position]):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _is_tag(before: tuple[int | str, ...]) -> bool:
    # pydantic puts the kind it chose into the path (optimizer[0].sgd.momentum); a file has none
    return before[-1] == "optimizer" or before[-2:-1] == ("optimizer",)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
