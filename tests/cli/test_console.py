"""What is printed can be read by a person, or by a program."""

from __future__ import annotations

import json

import pytest

from robustlr_cli import _console


def test_json_has_no_word_for_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    _console.show_json({"a": [float("inf"), float("nan"), 1.5, None], "ρ": (1, "ü")})
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": [None, None, 1.5, None], "ρ": [1, "ü"]}
    assert "ü" in out


def test_a_table_keeps_what_looks_like_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("[bold]x[/bold]", 1.0, None), ("plain", float("inf"), True)]
    _console.show_table(["na[me]", "value", "flag"], rows)
    out = capsys.readouterr().out
    for text in ("[bold]x[/bold]", "na[me]", "∞", "—", "yes"):
        assert text in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert _console.duration(seconds) == text
