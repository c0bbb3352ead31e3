"""The folder as a whole: what is in it, that it stands alone, and that names do no harm."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from markdown_it import MarkdownIt

from robustlr.errors import SpecError, StorageError
from robustlr.measures import Measures
from robustlr.report import MADE_WITH, build_report
from robustlr.report.pictures import PICTURES
from robustlr.specs import ReportSpec
from tests.report.synthetic import VALLEYS, Valley, synthetic

pytestmark = pytest.mark.slow

NASTY = "<b>x|y_z</b> $\\alpha$ & 100 % {日本} *é*"
FEW = {name: VALLEYS[name] for name in ("fixed", "cosine")}


def build(out: Path, **options: object) -> Path:
    results = options.pop("results", None) or synthetic(FEW)
    arguments = {"name": "digits", "question": "Which?", "resamples": 100, **options}
    report = arguments.pop("report", ReportSpec())
    return build_report(results, report, out, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = {MADE_WITH: [{"torch": "2.9", "device": "a CPU", "git_commit": "abc", "runs": 3}]}
    return build(tmp_path_factory.mktemp("whole") / "report", provenance_extra=made).parent


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = synthetic(
        {"fixed": VALLEYS["fixed"], NASTY: VALLEYS["cosine"]},
        settings=["a|b <i>", "second"],
        indices=range(-8, 3, 2),
        per_decade=2,
        optimum_loss=0.05,
    )
    page = build(
        tmp_path_factory.mktemp("nasty") / "report",
        results=results,
        name="<script>alert(1)</script>",
        question="Is 1 < 2 & 3 > 2?",
        notes=["a note with <tags> and | pipes"],
    )
    return page.parent


def test_every_promised_file_is_there_and_whole(folder: Path) -> None:
    for name in ("report.md", "report.html", "runs.parquet", "provenance.json"):
        assert (folder / name).stat().st_size > 0, name
    drawn = {path.stem for path in folder.glob("figures/*.svg")}
    assert drawn == {path.stem for path in folder.glob("figures/*.png")}
    assert {"tolerance", "regret", "learning-rates", "seed-spread", "misspecification",
            "sensitivity", "speedup", "convergence"} <= drawn  # fmt: skip
    for name in Measures.__dataclass_fields__:
        parquet = pl.read_parquet(folder / f"tables/{name}.parquet")
        csv = pl.read_csv(folder / f"tables/{name}.csv", infer_schema_length=None)
        assert csv.columns == parquet.columns
        assert csv.height == parquet.height
    assert pl.read_parquet(folder / "runs.parquet").height == 2 * 17 * 6
    assert not [path for path in folder.parent.iterdir() if path != folder]


def test_provenance_can_make_it_again(folder: Path) -> None:
    made = json.loads((folder / "provenance.json").read_text())
    assert made["command"] == "robustlr report build digits"
    assert made["runs"]["seeds"] == list(range(6))
    assert made["options"]["resamples"] == 100
    assert made["versions"]["robustlr"]
    assert made[MADE_WITH][0]["git_commit"] == "abc"


def test_the_order_is_answer_pictures_tables_making(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    marks = ["**cosine on a ", "Which schedule", "## Pictures", "## Tables", "## How it was made"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_every_picture_is_explained_and_shown_on_both_pages(folder: Path) -> None:
    markdown, html = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    shown = re.findall(r"!\[.+\]\(figures/(.+)\.svg\)\n\n(.+)", markdown)
    assert {name for name, _ in shown} == {p.stem for p in folder.glob("figures/*.svg")}
    for _, explanation in shown:
        assert 2 <= len(re.findall(r"[.!?](?:\s|$)", explanation)) <= 3
    assert html.count("<img ") == len(shown) == html.count("<figcaption>")


class _Resources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [
            value or ""
            for name, value in attributes
            if name in ("src", "srcset", "poster", "data") or (tag == "link" and name == "href")
        ]


@pytest.mark.parametrize("which", ["folder", "nasty"])
def test_the_page_needs_no_network(which: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(which)
    # the drawings' own text is looked at below
    html = re.sub(r"base64,[\w+/=]+", "base64,", (folder / "report.html").read_text())
    found = _Resources()
    found.feed(html)
    assert found.loads
    assert all(value.startswith("data:") for value in found.loads)
    assert not found.tags & {"script", "iframe", "object", "embed", "base"}
    assert not re.search(r"@import|url\(", html.partition("</style>")[0])
    assert 'font: 16px/1.55 -apple-system, BlinkMacSystemFont, "Segoe UI"' in html
    for path in folder.glob("figures/*.svg"):
        drawing = path.read_text()
        loaded = re.findall(r'(?:href|src)="([^"]*)"', drawing)
        assert all(value.startswith("#") for value in loaded)
        assert "<script" not in drawing


def test_names_are_escaped_everywhere(nasty: Path) -> None:
    html, markdown = (nasty / "report.html").read_text(), (nasty / "report.md").read_text()
    assert "<script>alert" not in html + markdown
    assert "<b>x" not in html + markdown
    assert "&lt;b&gt;x|y_z&lt;/b&gt;" in html
    assert "<tags>" not in html + markdown
    tex = "".join(path.read_text() for path in nasty.glob("tables/*.tex"))
    assert r"\$\textbackslash{}alpha\$ \& 100 \% \{日本\}" in tex


def tables_of(markdown: str) -> list[list[list[str]]]:
    """Every table of a page as rows of cells, parsed by a Markdown parser."""
    tokens = MarkdownIt().enable("table").parse(markdown)
    tables: list[list[list[str]]] = []
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("th_open", "td_open"):
            children = following.children or []
            tables[-1][-1].append("".join(child.content for child in children))
    return tables


@pytest.mark.parametrize("which", ["folder", "nasty"])
def test_tables_are_whole_and_never_raw(which: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(which)
    tables = tables_of((folder / "report.md").read_text())
    assert len(tables) >= 6
    for table in tables:
        assert len({len(row) for row in table}) == 1
        for row in table:
            for cell in row:
                assert not re.search(r"\b(nan|none|inf|null)\b", cell, re.IGNORECASE), cell


def test_names_survive_markdown(nasty: Path) -> None:
    cells = {
        cell
        for table in tables_of((nasty / "report.md").read_text())
        for row in table
        for cell in row
    }
    assert NASTY in cells


def test_a_report_can_be_built_again_and_is_the_same(folder: Path, tmp_path: Path) -> None:
    made = {MADE_WITH: [{"torch": "2.9", "device": "a CPU", "git_commit": "abc", "runs": 3}]}
    again = build(tmp_path / "report", provenance_extra=made).parent
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for name in files:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_folders_that_are_no_report_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="is no report"):
        build(tmp_path, results=synthetic(FEW, indices=[-4, -3, -2], seeds=2))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


CASES = {
    "one seed": {"seeds": 1},
    "one learning rate": {"indices": [-4]},
    "all diverged": {"valleys": {"fixed": Valley(cliff=-9), "cosine": Valley(cliff=-9)}},
    "chance unknown, no baseline, negative": {
        "valleys": {"wsd": VALLEYS["wsd"], "cosine": VALLEYS["cosine"]},
        "chance": None,
        "shift": -5.0,
    },
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_poor_data_make_a_report_and_a_sentence(case: str, tmp_path: Path) -> None:
    options = {"valleys": FEW, "indices": range(-8, 3, 2), "seeds": 3, **CASES[case]}
    page = build(tmp_path / "report", results=synthetic(**options))  # type: ignore[arg-type]
    text = (page.parent / "report.md").read_text()
    assert "**" in text
    for cell in (cell for table in tables_of(text) for row in table for cell in row):
        assert not re.search(r"\b(nan|none|inf|null)\b", cell, re.IGNORECASE), cell


def test_the_author_s_remarks_stand_in_both_pages_escaped(tmp_path: Path) -> None:
    report = ReportSpec(remarks=("The bound is a worst case.", "Here 1 < 2 & a|b."))
    page = build_report(
        synthetic(FEW), report, tmp_path / "report", name="x", question="", resamples=100
    )
    html, markdown = page.read_text(), page.with_name("report.md").read_text()
    for text in (html, markdown):
        assert "Remarks of the study's author" in text
        assert "The bound is a worst case." in text
    assert "<p>Here 1 &lt; 2 &amp; a|b.</p>" in html
    assert "<p>Here 1 &lt; 2 &amp; a|b.</p>" in MarkdownIt().render(markdown)


def test_only_the_pictures_that_the_study_names(tmp_path: Path) -> None:
    report = ReportSpec(pictures=("learning-rates", "curvature"))
    page = build_report(
        synthetic(FEW), report, tmp_path / "report", name="x", question="", resamples=100
    )
    drawn = {path.stem for path in (page.parent / "figures").iterdir()}
    assert "learning-rates" in drawn
    assert all(name.startswith(("learning-rates", "curvature")) for name in drawn)
    with pytest.raises(SpecError, match=r"no picture 'learning'; did you mean 'learning-rates'"):
        build(tmp_path / "other", report=ReportSpec(pictures=("learning",)))


def test_every_picture_has_a_name_to_be_chosen_by(folder: Path) -> None:
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert all(name.startswith(PICTURES) for name in drawn)
