"""The study's queue of cells: one Optuna trial per attempt at a cell.

Every missing cell waits as a trial from the start; a worker claims one by compare-and-set, and
never samples. What is done is decided by the result files alone, so a trial that lies costs a
glance at a file, never a result.

A trial has one owner for life: an attempt that is taken from a worker ends as FAIL, and the cell
waits as a new trial. Whoever still holds the old one finds it ended, and discards what it made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import ClassVar

from robustlr.specs import Cell, StudySpec

CELL, SETTING, WORKER, REASON, ATTEMPT = "cell", "setting", "worker", "reason", "attempt"
"""User attributes of a trial."""


IsDone = Callable[[Cell], bool]


@dataclass(frozen=True, slots=True)
class Tally:
    """Cells that wait, that run, that were given up; and the least value told so far."""

    waiting: int
    running: int
    failed: int
    best_value: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that runs.

    trial: the storage's own name for it. number: its place in the study. key: of its cell.
    worker: whose it is, "name" or "name#life". attempt: counted from 1.
    """

    trial: int
    number: int
    key: str
    worker: str
    attempt: int = 1

    @property
    def owner(self) -> str:
        """The worker's name; `life` tells a worker from an earlier one of its name."""
        return self.worker.partition("#")[0]


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's last sign of life.

    worker: its name. host: where it runs. beat: changes while it lives. seconds: since the sign.
    lock: a file that it holds, on a machine and in a boot named by `boot`.
    """

    worker: str
    host: str
    beat: int
    seconds: float
    boot: str = ""
    lock: str = ""


class CellQueue(ABC):
    """The trials of one study. Every method raises StorageError where the storage fails.

    one_machine: all workers are here, and `signs` lists every one that lives.
    """

    one_machine: ClassVar[bool]

    @abstractmethod
    def add(
        self, cells: Iterable[Cell], spec: StudySpec, *, is_done: IsDone = lambda cell: False
    ) -> None:
        """Let every cell wait that neither waits nor runs nor is done, all at once or none.

        is_done: asked of a cell after it was seen neither to wait nor to run, so that one that
        ends meanwhile is not added again.
        """

    @abstractmethod
    def claim(self, worker: str) -> Claim | None:
        """A waiting trial that now is the worker's; None when none waits."""

    @abstractmethod
    def holds(self, claim: Claim) -> bool:
        """Whether the claim still stands: nobody has taken the cell from its worker."""

    @abstractmethod
    def complete(self, claim: Claim, value: float) -> bool:
        """Tell the trial's value; False where somebody ended it before: it stays as it is."""

    @abstractmethod
    def fail(self, claim: Claim, reason: str) -> bool:
        """End a trial as FAIL, and say why; False where somebody ended it before."""

    @abstractmethod
    def take_away(self, claim: Claim, reason: str, *, retry: bool, blame: bool = True) -> bool:
        """`fail`, and in the same step let the cell wait for its next attempt if `retry`.

        blame: whether this attempt counts among those a cell has.
        """

    def put_back(self, claim: Claim) -> bool:
        """Let the cell wait again, through no fault of its own."""
        return self.take_away(claim, "its worker was told to stop", retry=True, blame=False)

    @abstractmethod
    def waiting(self) -> set[str]:
        """Keys of the cells that wait."""

    @abstractmethod
    def running(self) -> list[Claim]:
        """What runs, by trial number."""

    @abstractmethod
    def tally(self, keys: Container[str]) -> Tally:
        """How far the cells in `keys` are."""

    @abstractmethod
    def beat(self, sign: Sign) -> None:
        """Note that a worker lives; `seconds` is the storage's to fill in."""

    @abstractmethod
    def forget(self, worker: str) -> None:
        """A worker has ended, and is no longer listed."""

    @abstractmethod
    def signs(self) -> list[Sign]:
        """The last sign of every worker that has not ended properly."""

    @abstractmethod
    def agree(self, name: str, value: str) -> str:
        """The value that stands under `name`: the first one given to this study."""

    @abstractmethod
    def forget_agreements(self, prefix: str, *, unless_alive: float | None = None) -> None:
        """Let everything that was agreed on under names with this prefix be agreed on anew.

        unless_alive: seconds; nothing happens where somebody gave a sign of life in the last ones.
        Whoever gives one before agreeing keeps what is agreed.
        """


def count(states: Iterable[tuple[str, str, float | None]], keys: Container[str]) -> Tally:
    """Tally of (cell key, name of the trial's state, value) over all trials."""
    by_state: dict[str, set[str]] = {}
    best: float | None = None
    for key, state, value in states:
        if key in keys:
            by_state.setdefault(state, set()).add(key)
        if value is not None and (best is None or value < best):
            best = value
    waiting, running, failed, complete = (
        by_state.get(state, set()) for state in ("WAITING", "RUNNING", "FAIL", "COMPLETE")
    )
    return Tally(len(waiting), len(running), len(failed - complete - waiting - running), best)
