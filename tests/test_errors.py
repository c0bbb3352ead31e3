"""Errors for people: one sentence, an exit code, near names."""

from __future__ import annotations

import pytest

from robustlr import errors
from robustlr.errors import (
    CellsFailedError,
    InterruptedStudyError,
    RobustlrError,
    SpecError,
    did_you_mean,
    one_line,
)


def test_every_kind_is_one_of_ours_with_a_documented_exit_code() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert len(kinds) >= 7
    for kind in kinds:
        assert issubclass(kind, RobustlrError)
        assert kind.exit_code == {CellsFailedError: 3, InterruptedStudyError: 130}.get(kind, 1)
        assert kind.__doc__


def test_a_bad_spec_is_a_value_error_so_that_a_validator_may_raise_it() -> None:
    assert issubclass(SpecError, ValueError)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("cosin", ["fixed", "cosine"], "did you mean 'cosine'?"),
        ("adm", ["sgd", "adam", "adamw"], "did you mean 'adam' or 'adamw'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("", ["b", "a"], "known: a, b"),
        ("x", [], "none is known"),
        ("x", iter(["y"]), "known: y"),
    ],
)
def test_near_names(name: str, known: list[str], expected: str) -> None:
    assert did_you_mean(name, known) == expected


@pytest.mark.parametrize("text", ["a b", " a\n\tb ", "a\r\n\n b", "a\u2028b\x0b"])
def test_one_line(text: str) -> None:
    assert one_line(text) == "a b"
