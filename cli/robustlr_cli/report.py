"""`robustlr report`: a report folder from a study, or from a table of results from elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robustlr_cli._arguments import Study, locate
from robustlr_cli._console import note, say
from robustlr_cli._measuring import On, Quantity, Resamples, results_of

if TYPE_CHECKING:
    from robustlr.records import RunPaths
    from robustlr.specs import StudySpec

app = typer.Typer(help="Build a report.", no_args_is_help=True)

Folder = Annotated[Path | None, typer.Option(help="The report's folder.", show_default=False)]


@app.command(epilog="Example: robustlr report build digits --on metric")
def build(
    study: Study,
    out: Folder = None,
    on: Quantity = On.LOSS,
    resamples: Resamples = 2000,
) -> None:
    """Measure what is there of a study and write its report; prints the page's path.

    The folder is runs/<study>/report unless --out says otherwise: report.md, report.html (needs
    nothing beside itself), figures/, tables/, runs.parquet and provenance.json.
    """
    spec, paths = locate(study, pull=True)
    say(str(report_on(spec, paths, study, out=out, on=on, resamples=resamples)))


def report_on(
    spec: StudySpec,
    paths: RunPaths,
    study: str,
    *,
    out: Path | None = None,
    on: On = On.LOSS,
    resamples: int = 2000,
) -> Path:
    """Build the report of a study as it stands; the page's path. `study`: as the user typed it."""
    from robustlr.records import read_record
    from robustlr.report import MADE_WITH, build_report, mixed_code, run_provenance

    results = results_of(study, spec, paths)
    records = [read_record(paths.cell(key)) for key in results.runs["key"]]
    return build_report(
        results,
        spec.report,
        out or paths.report,
        name=spec.name,
        question=spec.question,
        provenance_extra={MADE_WITH: run_provenance(records)},
        notes=mixed_code(records),
        on=on.value,
        resamples=resamples,
        command=f"robustlr report build {shlex.quote(study)} --on {on} --resamples {resamples}",
    )


@app.command("import", epilog="Example: robustlr report import results.csv --baseline constant")
def import_table(
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV, JSON, JSON Lines or Parquet with columns schedule, lr, seed, value; and "
            "perhaps step, split, seconds, setting, workload, chance.",
            show_default=False,
        ),
    ],
    out: Folder = None,
    name: Annotated[str, typer.Option(help="Title of the report. [default: the file's stem]")] = "",
    baseline: Annotated[
        str, typer.Option(help="Schedule to compare with. [default: 'fixed', or the first]")
    ] = "",
    epsilon: Annotated[float, typer.Option(help="Tolerated share of chance − best.")] = 0.01,
    resamples: Resamples = 2000,
) -> None:
    """A report on results from elsewhere: W&B, MLflow, a paper.

    One row per run, or per step of a run. Empty, NaN or inf values are runs that diverged. What
    the table lacks is said in the report.
    """
    from robustlr.errors import SpecError, did_you_mean
    from robustlr.records.imports import import_results
    from robustlr.report import build_report
    from robustlr.specs import ReportSpec

    imported = import_results(table)
    schedules = imported.results.runs["schedule"].unique(maintain_order=True).to_list()
    if baseline and baseline not in schedules:
        raise SpecError(
            f"--baseline '{baseline}' is not in the table; {did_you_mean(baseline, schedules)}"
        )
    chosen = baseline or ("fixed" if "fixed" in schedules else schedules[0])
    title = name or table.stem
    folder = out or Path("runs") / f"{table.stem}-report"
    options = ["--name", title, "--baseline", chosen, "--epsilon", f"{epsilon:g}"]
    command = ["robustlr", "report", "import", str(table), *options, "--resamples", str(resamples)]
    page = build_report(
        imported.results,
        ReportSpec(baseline=chosen, epsilon=epsilon),
        folder,
        name=title,
        question=f"What does {table.name} say about robustness to the learning rate?",
        resamples=resamples,
        command=shlex.join(command),
        notes=imported.notes,
    )
    for sentence in imported.notes:
        note(sentence)
    say(str(page))
