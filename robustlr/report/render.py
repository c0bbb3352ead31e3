"""Pages from a document: report.md, and report.html that needs nothing beside itself."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from robustlr.report import escape
from robustlr.report.document import Document


def markdown_page(document: Document) -> str:
    text = _environment().get_template("report.md.jinja").render(doc=document)
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept).strip() + "\n"


def html_page(document: Document) -> str:
    style = _environment().get_template("style.css").render()
    page = _environment().get_template("report.html.jinja")
    return page.render(doc=document, style=style) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("robustlr.report"),
        autoescape=lambda name: bool(name and name.endswith(".html.jinja")),
        undefined=StrictUndefined,
    )
    environment.filters["md"] = escape.markdown
    return environment
