"""The progress of a study in the terminal: a bar, or a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from robustlr_cli._console import duration, note

if TYPE_CHECKING:
    from robustlr.execution import Snapshot

_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Shows snapshots of a drive on standard error; a context manager."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._name = name
        self._last_line = 0.0
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rest]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(name, total=None, rest="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the bar, or print a line if the last one is old enough or all is done."""
        best = "—" if snapshot.best_value is None else f"{snapshot.best_value:.4g}"
        rest = f"cells, {_time_left(snapshot)}, best loss {best}"
        if snapshot.failed:
            rest += f", {snapshot.failed} failed"
        if self._bar is not None:
            self._bar.update(
                self._task, total=snapshot.total, completed=snapshot.finished, rest=rest
            )
            return
        now = time.monotonic()
        if snapshot.finished == snapshot.total or now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            note(f"{self._name}: {snapshot.finished}/{snapshot.total} {rest}")


def _time_left(snapshot: Snapshot) -> str:
    made = snapshot.finished - snapshot.finished_before
    if snapshot.finished == snapshot.total:
        return f"done in {duration(snapshot.elapsed_seconds)}"
    if made == 0:
        return "starting"
    left = (snapshot.total - snapshot.finished) * snapshot.elapsed_seconds / made
    return f"{duration(left)} left"
