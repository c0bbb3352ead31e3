"""Tables into dataclasses: what passes, and how what does not is worded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from robustlr.errors import SpecError
from robustlr.validation import parse_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    kind: Literal["round"] = "round"
    radius: float = 1.0

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise SpecError(f"radius must be positive, got {self.radius}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    kind: Literal["square"] = "square"
    side: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    name: str
    size: int = 1
    flat: bool = True
    shape: Annotated[Round | Square, Field(discriminator="kind")] = field(default_factory=Round)
    holes: tuple[Round, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    weight: float | None = None


def refusal(**table: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parse_table(Plate, {"name": "plate", **table}, where="plates.toml")
    assert str(caught.value).startswith("plates.toml: ")
    return str(caught.value).removeprefix("plates.toml: ")


def test_lists_become_tuples_and_integers_floats() -> None:
    plate = parse_table(
        Plate, {"name": "a", "holes": [{"radius": 2}], "weight": 3, "shape": {"kind": "square"}}
    )
    assert plate == Plate(name="a", holes=(Round(radius=2.0),), weight=3.0, shape=Square())
    assert isinstance(plate.holes[0].radius, float)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sise": 3}, "sise: unknown key; did you mean 'size'?"),
        ({"holes": [{}, {"radios": 3}]}, "holes[1].radios: unknown key; did you mean 'radius'?"),
        ({"name": 3}, "name: must be text, got 3"),
        ({"size": "3"}, "size: must be a whole number, got '3'"),
        ({"size": 2.5}, "size: must be a whole number, got 2.5"),
        ({"size": 2.0}, "size: must be a whole number, got 2.0"),
        ({"size": True}, "size: must be a whole number, got True"),
        ({"flat": 1}, "flat: must be true or false, got 1"),
        ({"weight": "heavy"}, "weight: must be a number, got 'heavy'"),
        ({"holes": 3}, "holes: must be a list, got 3"),
        ({"holes": [3]}, "holes[0]: must be a table, got 3"),
        ({"extra": [1]}, "extra: must be a table, got [1]"),
        ({"shape": {"kind": "rond"}}, "shape: unknown kind 'rond'; did you mean 'round'?"),
        ({"shape": {"side": 1}}, "shape: needs a kind"),
        ({"holes": [{"radius": -1}]}, "holes[0]: radius must be positive, got -1.0"),
        ({"holes": [{"radius": math.nan}]}, "holes[0]: radius must be positive, got nan"),
        ({"name": {"a": "b" * 200}}, "name: must be text, got {'a': '" + "b" * 50 + "..."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wording(table: dict[str, Any], message: str) -> None:
    assert refusal(**table) == message


def test_a_key_of_a_chosen_kind_has_its_near_name() -> None:
    assert "'side'" in refusal(shape={"kind": "square", "sid": 2})


def test_what_is_required() -> None:
    with pytest.raises(SpecError, match=r"^name: is required$"):
        parse_table(Plate, {})


def test_all_of_a_few_and_the_first_of_many() -> None:
    assert refusal(size="a", flat="b") == (
        "size: must be a whole number, got 'a'; flat: must be true or false, got 'b'"
    )
    many = refusal(holes=[3] * 9)
    assert many.count("must be a table") == 5
    assert many.endswith("; and 4 more")


def test_a_list_of_one_written_bare_has_no_index() -> None:
    table = {"name": "a", "holes": [{"radius": "x"}]}
    with pytest.raises(SpecError, match=r"^holes.radius: must be a number"):
        parse_table(Plate, table, bare=["holes"])


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", complex(1, 2)])
def test_values_that_are_no_plain_values(value: object) -> None:
    assert refusal(size=value).startswith("size: must be a whole number, got ")


def test_tables_that_are_no_tables() -> None:
    endless: dict[str, Any] = {"name": "a"}
    endless["extra"] = endless
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    for table in (endless, {"name": "a", "extra": deep}, {"name": "a", "extra": {(1, 2): 3}}):
        with pytest.raises(SpecError):
            parse_table(Plate, table)
