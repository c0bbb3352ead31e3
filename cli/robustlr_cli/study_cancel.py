"""`robustlr study cancel`: end a study, wherever it runs."""

from __future__ import annotations

from robustlr_cli._arguments import Out, Study, locate
from robustlr_cli._console import note


def cancel(study: Study, out: Out = None) -> None:
    """End a study's jobs on a cluster, and its run and workers on this machine.

    Cells in the middle are put aside with a checkpoint; `robustlr study run` goes on with them.
    """
    from robustlr.execution import cancel as end

    spec, paths = locate(study, out)
    ended = end(paths)
    counts = {"job": ended.jobs, "run here": ended.runs, "worker here": ended.workers}
    what = [f"{count} × {name}" for name, count in counts.items() if count]
    note(f"{spec.name}: {'ended ' + ', '.join(what) if what else 'nothing is at work on it here'}")
