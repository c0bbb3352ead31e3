"""How tables become objects: a plain table in, a frozen dataclass out, errors with their path.

Tables are validated as JSON in strict mode: lists become tuples and integers floats, but a
string never becomes a number, and an unknown key is an error (``extra="forbid"``; without
it a mistyped key passes silently).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError, with_config
from pydantic_core import InitErrorDetails, PydanticCustomError

from robustlr.errors import SpecError, did_you_mean, one_line

T = TypeVar("T")

_WORDED = "robustlr"  # the type of an error whose message is final
_MOST_SHOWN = 5
_MUST_BE = {
    "bool_type": "must be true or false",
    "dataclass_type": "must be a table",
    "dict_type": "must be a table",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "mapping_type": "must be a table",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


def validate(cls: type[T], table: Mapping[str, Any]) -> T:
    """`table` as a `cls`. Raises pydantic's ValidationError: for use inside a larger spec."""
    kind: Any = cls
    try:
        text = json.dumps(table, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(f"not a table of plain values: {one_line(str(error))}") from error
    try:
        checked: T = adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        details = [_worded(detail, cls) for detail in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(error.title, details) from None
    return checked


def parse_table(
    cls: type[T], table: Mapping[str, Any], *, where: str = "", bare: Collection[str] = ()
) -> T:
    """`table` as a `cls`. Raises SpecError with one line that names the bad keys.

    where: what the keys are in, such as a file's name; put in front of the message.
    bare: keys of lists of one whose element was written without the list.
    """
    try:
        return validate(cls, table)
    except ValidationError as error:
        raise SpecError(_one_line(error, where, bare)) from error


@cache
def adapter(cls: Any) -> TypeAdapter[Any]:
    """The strict TypeAdapter of a dataclass, made once."""
    return TypeAdapter(with_config({"extra": "forbid"})(cls))


def _one_line(error: ValidationError, where: str, bare: Collection[str]) -> str:
    """'where: path: message; path: message', the first few of many."""
    parts = []
    details = error.errors(include_url=False)
    for detail in details[:_MOST_SHOWN]:
        path = _path(detail["loc"], bare)
        parts.append(f"{path}: {detail['msg']}" if path else detail["msg"])
    if len(details) > _MOST_SHOWN:
        parts.append(f"and {len(details) - _MOST_SHOWN} more")
    text = one_line("; ".join(parts))
    return f"{where}: {text}" if where else text


def _worded(detail: Any, cls: Any) -> InitErrorDetails:
    """The same error with a message for people; one that a nested `validate` worded is kept."""
    message = detail["msg"] if detail["type"] == _WORDED else _message(detail, cls)
    return InitErrorDetails(
        type=PydanticCustomError(_WORDED, "{message}", {"message": message}),
        loc=detail["loc"],
        input=detail["input"],
    )


def _message(detail: Any, cls: Any) -> str:
    match detail["type"]:
        case "value_error":
            return str(detail["msg"]).removeprefix("Value error, ")
        case "unexpected_keyword_argument":
            known = _keys_at(cls, detail["loc"][:-1])
            return "unknown key" + (f"; {did_you_mean(detail['loc'][-1], known)}" if known else "")
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return "is required"
        case "union_tag_invalid":
            tag = detail["ctx"]["tag"]
            known = [known.strip(" '") for known in detail["ctx"]["expected_tags"].split(",")]
            return f"unknown kind '{tag}'; {did_you_mean(tag, known)}"
        case "union_tag_not_found":
            return "needs a kind"
    text = _MUST_BE.get(detail["type"], detail["msg"][:1].lower() + detail["msg"][1:])
    return text if _is_secret(cls, detail["loc"]) else f"{text}, got {_shown(detail['input'])}"


def _is_secret(cls: Any, location: tuple[int | str, ...]) -> bool:
    """Whether the value at `location` inside a `cls` is a field that its repr leaves out."""
    here = cls
    for part in location:
        if _is_dataclass(here) and any(
            field.name == part and not field.repr for field in dataclasses.fields(here)
        ):
            return True
        here = _inside(here, part)
    return False


def _keys_at(cls: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at `location` inside a `cls` may have; empty where unknown."""
    here = cls
    for part in location:
        here = _inside(here, part)
    return [field.name for field in dataclasses.fields(here)] if _is_dataclass(here) else []


def _inside(kind: Any, part: int | str) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if _is_dataclass(kind):
        return get_type_hints(kind, include_extras=True).get(str(part))
    if get_origin(kind) in (Union, UnionType):  # pydantic puts the chosen kind into the path
        members = [member for member in get_args(kind) if _is_dataclass(member)]
        return next((member for member in members if _kind(member) == part), None)
    if get_origin(kind) is tuple and isinstance(part, int):
        return get_args(kind)[0]
    return None


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def _kind(cls: Any) -> Any:
    return next((field.default for field in dataclasses.fields(cls) if field.name == "kind"), None)


def _path(location: tuple[int | str, ...], bare: Collection[str]) -> str:
    path = ""
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += "" if path in bare else f"[{part}]"
        elif not _is_tag(location[:position]):
            path += f".{part}" if path else part
    return path


def _is_tag(before: tuple[int | str, ...]) -> bool:
    # the kind that pydantic chose (optimizer[0].sgd.momentum) is in no file
    return before[-1:] == ("optimizer",) or (
        before[-2:-1] == ("optimizer",) and isinstance(before[-1], int)
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
