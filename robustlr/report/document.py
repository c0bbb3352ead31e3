"""A report as a value: what both pages, Markdown and HTML, are rendered from."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from robustlr.report.answer import Answer
from robustlr.report.numbers import LEGEND
from robustlr.report.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A picture with its bytes. file: name in figures/, without suffix. narrow: one panel wide."""

    file: str
    title: str
    explanation: str
    svg: bytes
    png: bytes
    narrow: bool

    @property
    def data_uri(self) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One setting of the study."""

    title: str
    anchor: str
    answer: Answer
    pictures: tuple[Drawn, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """remarks: paragraphs of the study's author. pictures, tables: those over several settings.
    making: how the report was made, by name.
    """

    name: str
    question: str
    answer: Answer
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    pictures: tuple[Drawn, ...]
    tables: tuple[Table, ...]
    sections: tuple[Section, ...]
    making: tuple[tuple[str, str], ...]
    legend: str = LEGEND

    @property
    def several(self) -> bool:
        return len(self.sections) > 1

    @property
    def caveats(self) -> tuple[str, ...]:
        return self.notes + self.answer.caveats
