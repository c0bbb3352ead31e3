"""Arguments that several commands share, and how they become a spec and a folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from robustlr.records import RunPaths
    from robustlr.specs import StudySpec

RUNS = Path("runs")

Study = Annotated[
    str,
    typer.Argument(
        help="A study file (my.toml), the name of a packaged study, or the folder of a run.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        help="The study's folder, or an address that all machines reach, such as "
        "s3://bucket/study, with a copy in the default folder. [default: runs/<study>]",
        show_default=False,
    ),
]
CellsPerGpu = Annotated[
    int | None,
    typer.Option(
        min=1, help="Small models that share a GPU. [default: the study's]", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


Storage = Annotated[
    str | None,
    typer.Option(
        help="The queue's database, postgresql://user@host/database. [default: $ROBUSTLR_STORAGE, "
        "or the study's own, or a journal in its folder]",
        show_default=False,
    ),
]


def locate(
    study: str, out: str | None = None, storage: str | None = None, *, pull: bool = False
) -> tuple[StudySpec, RunPaths]:
    """The spec and the folder behind what the user typed.

    pull: bring results of other machines into the folder, where the study keeps them elsewhere.
    Raises SpecError where there is neither a file, nor a packaged study, nor a run of that name.
    """
    from robustlr.records import pull_results
    from robustlr.study import with_storage

    folder, address = (None, out) if out and "://" in out else (out, None)
    if address and address.startswith("file://"):  # a folder like any other
        folder, address = address.removeprefix("file://"), None
    spec, paths = _locate(study, Path(folder) if folder else None)
    if address:
        execution = dataclasses.replace(spec.execution, results=address.rstrip("/"))
        spec = dataclasses.replace(spec, execution=execution)
    if pull:
        pull_results(spec, paths)
    return with_storage(spec, storage), paths


def _locate(study: str, out: Path | None) -> tuple[StudySpec, RunPaths]:
    from robustlr.records import RunPaths, read_spec
    from robustlr.specs import find_study_file, load_study, packaged_studies

    folders = [Path(study)]
    if study not in packaged_studies():  # a packaged study means itself, not its last run
        folders.append(RUNS / study)
    for folder in folders:
        if RunPaths(folder).spec.is_file():
            return read_spec(RunPaths(folder)), RunPaths(out or folder)
    spec = load_study(find_study_file(study))
    return spec, RunPaths(out or RUNS / spec.name)


def code_folders(study: str) -> list[Path]:
    """Where the user's own workloads may be: the current folder, and that of the study file."""
    file = Path(study)
    return [Path.cwd(), *([file.resolve().parent] if file.is_file() else [])]


def packed(spec: StudySpec, cells_per_gpu: int | None) -> StudySpec:
    """The spec with the user's own number of cells per GPU."""
    if cells_per_gpu is None:
        return spec
    execution = dataclasses.replace(spec.execution, cells_per_gpu=cells_per_gpu)
    return dataclasses.replace(spec, execution=execution)
