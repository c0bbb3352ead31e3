"""What a group is asked to do, and what its ranks say when they could not: files in a folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from robustlr.errors import DataError
from robustlr.execution.request import Request
from robustlr.records import read_json, write_json


class Ending(StrEnum):
    """How a rank ended that has no result.

    STOPPED: it was told to. MEMORY: there was none left. LOST: it no longer heard another rank.
    RAISED: anything else, which would happen again.
    """

    STOPPED = "stopped"
    MEMORY = "memory"
    LOST = "lost"
    RAISED = "raised"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a rank left behind; when: seconds of the system's clock."""

    rank: int
    ending: Ending
    text: str
    when: float


@dataclass(frozen=True, slots=True)
class Job:
    """One cell for one group, in a folder of their own."""

    folder: Path

    @property
    def result(self) -> Path:
        return self.folder / "result"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def request(self) -> Path:
        return self.folder / "request.json"

    @property
    def life(self) -> Path:
        """Touched by the ranks while they train."""
        return self.folder / "life"

    def ask(self, request: Request) -> None:
        self.life.touch()
        write_json(self.request, request.table())

    def asked(self) -> Request:
        """The argument of `ask`."""
        return Request.from_table(read_json(self.request))

    def give_up(self, failure: Failure) -> None:
        """Leave word; a rank that cannot even do that leaves its log."""
        write_json(self.folder / f"failure-{failure.rank}.json", asdict(failure))

    def failures(self) -> list[Failure]:
        """Those of all ranks, the first one first."""
        found = []
        for path in self.folder.glob("failure-*.json"):
            try:
                values = read_json(path)
            except DataError:
                continue
            found.append(Failure(**{**values, "ending": Ending(values["ending"])}))
        return sorted(found, key=lambda failure: failure.when)
