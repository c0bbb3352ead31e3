"""Schedules by name: tables, shorthands, entry points, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robustlr.errors import SpecError
from robustlr.schedules import (
    WSD,
    Cosine,
    CurvatureAdaptive,
    Polynomial,
    Warmup,
    parse,
    schedule_types,
)
from robustlr.schedules.registry import parse_as
from tests.schedules.own import Triangle, entry_point, install, uninstall


@pytest.fixture
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch
        uninstall(monkeypatch)


def test_every_kind_is_its_own_name() -> None:
    for kind, cls in schedule_types().items():
        assert cls.__dataclass_fields__["kind"].default == kind  # type: ignore[attr-defined]
        assert next(iter(cls.__dataclass_fields__)) == "kind"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cosine", Cosine()),
        ("linear", Polynomial(degree=1)),
        ("polynomial:degree=2", Polynomial(degree=2)),
        (" polynomial : degree = 2 ", Polynomial(degree=2)),
        ("wsd:decay_fraction=0.5,cooldown=sqrt", WSD(decay_fraction=0.5, cooldown="sqrt")),
        ("wsd:cooldown='sqrt'", WSD(cooldown="sqrt")),
        ("linear+warmup=0.2", Warmup(warmup_fraction=0.2, then=Polynomial())),
        (
            "curvature_adaptive:every=5,anneal=(wsd:decay_fraction=0.5,cooldown=sqrt)+warmup=0.2",
            Warmup(
                warmup_fraction=0.2,
                then=CurvatureAdaptive(every=5, anneal=WSD(decay_fraction=0.5, cooldown="sqrt")),
            ),
        ),
        ("curvature_adaptive:anneal=cosine", CurvatureAdaptive(anneal=Cosine())),
        (
            "curvature_adaptive:anneal=(linear+warmup=0.2)",
            CurvatureAdaptive(anneal=Warmup(warmup_fraction=0.2, then=Polynomial())),
        ),
        ({"kind": "warmup", "then": "cosine"}, Warmup()),
        ({"kind": "warmup", "then": {"kind": "linear"}}, Warmup(then=Polynomial())),
        (Cosine(), Cosine()),
    ],
    ids=str,
)
def test_what_is_understood(text: object, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cosin", "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ("", "unknown schedule ''; known: "),
        ("lineer", "did you mean 'linear'?"),
        ("cosine:final_multiplier", "'final_multiplier' in 'cosine:final_multiplier' must be"),
        ("cosine:final_multiplier=x", "final_multiplier: must be a number, got 'x'"),
        ("cosine:final=1", "final: unknown key"),
        ("cosine+cooldown", "only '+warmup' or '+warmup=FRACTION' may follow"),
        ("cosine+warmup+warmup", "only '+warmup' or '+warmup=FRACTION' may follow"),
        ("cosine+warmup=lots", "warmup_fraction: must be a number, got 'lots'"),
        (
            "curvature_adaptive:anneal=(curvature_adaptive)",
            "'curvature_adaptive' cannot stand here",
        ),
        ("polynomial:degree=" + "9" * 5000, "degree: must be a number"),
        (3, "a schedule is a table with a kind, or a name; got 3"),
        (None, "got None"),
        (["cosine"], "got ['cosine']"),
        ({}, "needs a kind"),
        ({"kind": 3}, "needs a kind"),
        ({"kind": "cosine", "final_multiplier": "0"}, "must be a number, got '0'"),
        ({"kind": "linear", "degree": 2}, "'linear' fixes degree; write kind = 'polynomial'"),
        ({"kind": "cosine", "final_multiplyer": 0}, "did you mean 'final_multiplier'?"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not(value: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_kind_that_is_needed() -> None:
    assert parse_as("cosine", Cosine) == Cosine()
    with pytest.raises(SpecError, match="'linear' cannot stand here: a Cosine is needed"):
        parse_as("linear", Cosine)


def test_a_third_party_joins_through_an_entry_point(patched: pytest.MonkeyPatch) -> None:
    install(patched, entry_point("triangle", "Triangle"))
    assert schedule_types()["triangle"] is Triangle
    assert parse("triangle:peak=0.25+warmup") == Warmup(then=Triangle(peak=0.25))
    with pytest.raises(SpecError, match="did you mean 'triangle'"):
        parse("triangl")


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("triangle", "Missing", "robustlr.schedules:triangle cannot be loaded: AttributeError"),
        ("triangle", "NotASchedule", "robustlr.schedules:triangle is not a robustlr schedule"),
        ("triangle", "install", "is not a robustlr schedule class"),
        ("triangle", "Schedule", "is not a robustlr schedule class"),
        ("square", "Triangle", "must be a dataclass whose field kind is 'square'"),
        ("cosine", "Triangle", "must be a dataclass whose field kind is 'cosine'"),
    ],
)
def test_a_broken_entry_point_is_named(
    patched: pytest.MonkeyPatch, name: str, target: str, message: str
) -> None:
    install(patched, entry_point(name, target))
    with pytest.raises(SpecError) as caught:
        parse("cosine")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nobody_takes_the_name_of_another(patched: pytest.MonkeyPatch) -> None:
    point = entry_point("triangle", "Triangle")
    install(patched, point, point)
    with pytest.raises(SpecError, match="triangle takes the name of another schedule"):
        schedule_types()
