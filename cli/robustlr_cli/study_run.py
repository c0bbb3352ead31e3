"""Where `robustlr study run` runs: on this machine, or on a SLURM cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING

from robustlr_cli._arguments import code_folders, packed
from robustlr_cli._console import note

if TYPE_CHECKING:
    from robustlr.records import RunPaths
    from robustlr.specs import StudySpec


class Place(StrEnum):
    """Where the cells of a study run."""

    HERE = "here"
    SLURM = "slurm"


def run_here(
    study: str,
    spec: StudySpec,
    paths: RunPaths,
    workers: int | None,
    cells_per_gpu: int | None,
    *,
    new_code: bool,
) -> None:
    """Run the cells with workers on this machine."""
    from robustlr.execution import Drive, default_workers, visible_gpus
    from robustlr_cli._progress import Progress

    if cells_per_gpu is not None and not visible_gpus():
        note("no GPU is visible here: --cells-per-gpu changes nothing")
    spec = packed(spec, cells_per_gpu)
    drive = Drive(
        spec=spec,
        paths=paths,
        workers=workers or default_workers(spec),
        folders=tuple(code_folders(study)),
        new_code=new_code,
    )
    go_on = "interrupted; the same command goes on from here"
    with _interruptible(go_on), Progress(spec.name) as progress:
        drive.run(progress.show)


def run_on_slurm(
    study: str,
    spec: StudySpec,
    paths: RunPaths,
    workers: int | None,
    cells_per_gpu: int | None,
    *,
    new_code: bool,
    detach: bool,
) -> None:
    """Run the cells with jobs of a cluster, and watch them unless told to `detach`."""
    from robustlr.execution import ClusterDrive
    from robustlr_cli._progress import Progress

    spec = packed(spec, cells_per_gpu)
    drive = ClusterDrive(
        spec=spec,
        paths=paths,
        workers=workers or spec.execution.slurm.workers,
        folders=tuple(code_folders(study)),
        new_code=new_code,
    )
    go_on = (
        f"the jobs go on; watch them with `robustlr study status {paths.root}`, end them with "
        f"`robustlr study cancel {paths.root}`, and the same command waits for the report"
    )
    with _interruptible(go_on), Progress(spec.name) as progress:
        drive.run(progress.show, detach=detach)
    if detach:
        note(f"{spec.name}: {go_on}")


class _Told(KeyboardInterrupt):
    """SIGTERM, such as `robustlr study cancel` sends."""


@contextmanager
def _interruptible(text: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end with one line. Raises InterruptedStudyError; text: after Ctrl-C."""
    from robustlr.errors import InterruptedStudyError

    def end(number: int, frame: FrameType | None) -> None:
        raise _Told

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Told:
        told = "was told to end; the same command goes on from here"
        raise InterruptedStudyError(told) from None
    except KeyboardInterrupt:
        raise InterruptedStudyError(text) from None
    finally:
        signal.signal(signal.SIGTERM, before)
