"""The JSON schema of a study file: what an editor knows must be what the parser takes."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from typing import Any

import pytest

from robustlr.schedules import ALIASES, schedule_types
from robustlr.specs import StudySpec, json_schema, packaged_studies
from tests.specs.tables import VALID

SCHEMA = json_schema()


def resolved(node: Any) -> Any:
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return node


def accepts(node: Any, value: Any) -> bool:
    """The few keywords of JSON schema that ours uses."""
    node = resolved(node)
    for word in ("anyOf", "oneOf"):
        if word in node and not any(accepts(choice, value) for choice in node[word]):
            return False
    if "const" in node and value != node["const"]:
        return False
    if "enum" in node and value not in node["enum"]:
        return False
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": (int, float),
    }
    if "type" in node and not isinstance(value, kinds[node["type"]]):
        return False
    if "minimum" in node and value < node["minimum"]:
        return False
    if isinstance(value, list) and "items" in node:
        return all(accepts(node["items"], item) for item in value)
    if isinstance(value, dict) and "properties" in node:
        if not set(node.get("required", ())) <= set(value):
            return False
        unknown = set(value) - set(node["properties"])
        if unknown and node.get("additionalProperties") is False:
            return False
        return all(
            accepts(node["properties"][key], value[key]) for key in value if key not in unknown
        )
    return True


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def test_it_is_json_and_every_reference_has_a_target() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    for reference in references(SCHEMA):
        assert reference.removeprefix("#/$defs/") in SCHEMA["$defs"]


def test_it_has_the_keys_of_the_spec() -> None:
    fields = {field.name: field for field in dataclasses.fields(StudySpec)}
    assert set(SCHEMA["properties"]) == set(fields)
    needed = {
        name
        for name, field in fields.items()
        if field.default is field.default_factory is dataclasses.MISSING
    }
    assert set(SCHEMA["required"]) == needed
    assert SCHEMA["additionalProperties"] is False


def test_it_knows_every_schedule() -> None:
    shorthand, *kinds = (resolved(choice) for choice in SCHEMA["$defs"]["schedule"]["anyOf"])
    assert shorthand["type"] == "string"
    assert {kind["properties"]["kind"]["const"] for kind in kinds} == {
        *schedule_types(),
        *ALIASES,
    }
    assert all(kind["additionalProperties"] is False for kind in kinds)


@pytest.mark.parametrize("name", packaged_studies())
def test_packaged_studies_are_valid(name: str) -> None:
    assert accepts(SCHEMA, tomllib.loads(packaged_studies()[name].read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": [0, 1]},
        {"batch_size": [32, 64]},
        {"schedule": "cosine"},
        {"schedule": ["fixed", {"kind": "warmup", "then": {"kind": "polynomial", "degree": 2}}]},
        {"workload": [{"kind": "digits_mlp", "hidden": [3]}, {"factory": "a:b", "depth": 2}]},
        {"optimizer": [{"kind": "sgd"}, {"kind": "adamw", "eps": 1e-6}]},
        {"optimizer": {"kind": "pytorch_optimizer", "name": "AdamP"}},
        {"training": {"clip_norm": 1.0, "precision": "bf16"}},
    ],
    ids=str,
)
def test_what_the_parser_takes_the_schema_takes(change: dict[str, Any]) -> None:
    StudySpec.from_table({**VALID, "report": {"baseline": "fixed"}, **change} | _baseline(change))
    assert accepts(SCHEMA, {**VALID, **change})


def _baseline(change: dict[str, Any]) -> dict[str, Any]:
    return {"report": {"baseline": "cosine"}} if change.get("schedule") == "cosine" else {}


@pytest.mark.parametrize(
    "change",
    [
        {"seds": 3},
        {"seeds": 0},
        {"grid": {"low": 1}},
        {"grid": {"low": "1", "high": 2}},
        {"schedule": {"kind": "cosin"}},
        {"schedule": {"kind": "cosine", "final": 0}},
        {"optimizer": {"kind": "sgd", "momentun": 1}},
        {"training": {"precision": "fp8"}},
    ],
    ids=str,
)
def test_what_it_refuses_the_parser_refuses(change: dict[str, Any]) -> None:
    assert not accepts(SCHEMA, {**VALID, **change})
    with pytest.raises(ValueError):
        StudySpec.from_table({**VALID, **change})
