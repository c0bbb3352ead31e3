"""Results in, a report folder out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from robustlr import figures
from robustlr.errors import SpecError, did_you_mean
from robustlr.measures import Measures, measure
from robustlr.measures.cube import Quantity
from robustlr.measures.resampling import Interval
from robustlr.records import Results
from robustlr.report.answer import answer
from robustlr.report.batch_size import batch_size_pictures, batch_size_tables
from robustlr.report.document import Document, Drawn, Section
from robustlr.report.folder import MARKER, replace_folder
from robustlr.report.making import making, report_provenance
from robustlr.report.numbers import plural
from robustlr.report.overall import overall
from robustlr.report.pictures import PICTURES, Picture, pictures, profiles
from robustlr.report.render import html_page, markdown_page
from robustlr.report.setting import Setting, settings_of
from robustlr.report.table import Table, merged
from robustlr.report.tables import tables
from robustlr.specs import ReportSpec

PAGE = "report.html"


def build_report(
    results: Results,
    report: ReportSpec,
    out: Path,
    *,
    name: str,
    question: str,
    provenance_extra: Mapping[str, Any] | None = None,
    on: Quantity = "loss",
    resamples: int = 2000,
    interval: Interval = "percentile",
    command: str = "",
    notes: Sequence[str] = (),
) -> Path:
    """Measure, draw and write the folder `out`; the path of its report.html.

    provenance_extra: more for provenance.json, such as the circumstances of the runs under
    "runs_made_with". command: what makes the report again. notes: caveats of the results' origin.
    Raises DataError for results that cannot be measured, StorageError where out cannot be written,
    SpecError for a picture there is not.
    """
    _require_pictures(report.pictures)
    measures = measure(results, report, on=on, resamples=resamples, interval=interval)
    provenance = report_provenance(
        results,
        name=name,
        command=command or f"robustlr report build {name}",
        options={
            "on": on,
            "resamples": resamples,
            "interval": interval,
            "baseline": report.baseline,
            "epsilon": report.epsilon,
            "target": report.target,
        },
        extra=provenance_extra or {},
    )
    settings = settings_of(results, measures, report)
    document, by_setting = _document(
        settings, results, measures, report, name=name, question=question, notes=notes,
        provenance=provenance,
    )  # fmt: skip
    files = {
        "report.md": markdown_page(document).encode(),
        PAGE: html_page(document).encode(),
        MARKER: (json.dumps(provenance, indent=2, ensure_ascii=False) + "\n").encode(),
        "runs.parquet": _parquet(results.runs),
        **_figure_files(document),
        **_table_files(measures, by_setting),
    }
    replace_folder(out, files)
    return out / PAGE


def _document(
    settings: Sequence[Setting],
    results: Results,
    measures: Measures,
    report: ReportSpec,
    *,
    name: str,
    question: str,
    notes: Sequence[str],
    provenance: Mapping[str, Any],
) -> tuple[Document, list[tuple[str, list[Table]]]]:
    schedules = results.runs["schedule"].unique(maintain_order=True).to_list()
    looks = figures.looks(schedules)
    answers = [answer(setting) for setting in settings]
    sections, by_setting = [], []
    for position, (setting, given) in enumerate(zip(settings, answers, strict=True), start=1):
        prefix = f"{position}-" if len(settings) > 1 else ""
        shown = tables(setting, every=given.every)
        by_setting.append((setting.name, shown))
        sections.append(
            Section(
                title=setting.name,
                anchor=f"setting-{position}",
                answer=given,
                pictures=tuple(_drawn(_wanted(pictures(setting, results, looks), report), prefix)),
                tables=tuple(shown),
            )
        )
    over_batches = batch_size_tables(results, measures, baseline=report.baseline)
    by_setting.append(("all settings", over_batches))
    across = (
        *profiles(measures, looks),
        *batch_size_pictures(results, measures, looks, baseline=report.baseline),
    )
    document = Document(
        name=name,
        question=question,
        answer=overall(settings, answers, measures.score),
        notes=(*notes, *_incomplete(results)),
        remarks=report.remarks,
        pictures=tuple(_drawn(across, "")) if len(settings) > 1 else (),
        tables=tuple(over_batches),
        sections=tuple(sections),
        making=making(provenance),
    )
    return document, by_setting


def _wanted(every: Iterable[Picture], report: ReportSpec) -> Iterable[Picture]:
    """The pictures that the study names; there may be several of a name, told apart by a number."""
    names = report.pictures or PICTURES
    return (picture for picture in every if picture.key.startswith(names))


def _require_pictures(names: Sequence[str]) -> None:
    for name in names:
        if name not in PICTURES:
            raise SpecError(f"report.pictures: no picture '{name}'; {did_you_mean(name, PICTURES)}")


def _drawn(pictures: Iterable[Picture], prefix: str) -> Iterable[Drawn]:
    for picture in pictures:
        figure = picture.draw()
        yield Drawn(
            file=prefix + picture.key,
            title=picture.title,
            explanation=picture.explanation,
            svg=figures.svg(figure, title=picture.title),
            png=figures.png(figure),
            narrow=figure.get_figwidth() < 8,
        )


def _incomplete(results: Results) -> list[str]:
    """What the study asked for and did not get."""
    notes = []
    if results.missing:
        notes.append(
            f"{len(results.missing)} cells of the study have not been run yet: this report is "
            "about the others."
        )
    if results.failed:
        notes.append(f"{len(results.failed)} cells failed and are left out.")
    if count := len(results.damaged):
        what = plural(count, "damaged result is", "damaged results are")
        notes.append(f"{what} left out; 'robustlr study run' mends that.")
    return notes


def _figure_files(document: Document) -> dict[str, bytes]:
    drawn = [*document.pictures, *(p for section in document.sections for p in section.pictures)]
    return {
        f"figures/{picture.file}.{suffix}": content
        for picture in drawn
        for suffix, content in (("svg", picture.svg), ("png", picture.png))
    }


def _table_files(measures: Measures, by_setting: list[tuple[str, list[Table]]]) -> dict[str, bytes]:
    """Every measure whole as CSV and Parquet; the tables that are shown as LaTeX."""
    files = {}
    for name in Measures.__dataclass_fields__:
        frame: pl.DataFrame = getattr(measures, name)
        files[f"tables/{name}.csv"] = frame.write_csv().encode()
        files[f"tables/{name}.parquet"] = _parquet(frame)
    keys = dict.fromkeys(table.key for _, shown in by_setting for table in shown)
    for key in keys:
        parts = [(name, t) for name, shown in by_setting for t in shown if t.key == key]
        files[f"tables/{key}.tex"] = merged(parts).latex().encode()
    return files


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
