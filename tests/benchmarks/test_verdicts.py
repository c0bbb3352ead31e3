"""When a benchmark fails: a target that was missed, faults that were not done."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from robustlr.records import RunPaths
from robustlr.specs import load_study
from robustlr.study import prepare, work
from tests.benchmarks.bench_queue import Findings
from tests.benchmarks.faults import Faults
from tests.benchmarks.soak import disturb
from tests.benchmarks.written import table, write
from tests.small_study import runner, write_study


def test_a_missed_target_is_remembered() -> None:
    found = Findings()
    found.note("journal", "storage", 49.0, " MB", most=50)
    found.note("journal", "look", 1e9, " ms")
    found.note("journal", "two against one", 1.8, " times", least=1.8)
    assert found.missed == []
    found.note("journal", "storage", 51.0, " MB", most=50)
    found.note("journal", "two against one", 1.7, " times", least=1.8)
    assert found.missed == [
        "journal: storage: 51.00 MB, at most 50",
        "journal: two against one: 1.70 times, at least 1.8",
    ]
    assert len(found.rows) == 5


class Commands:
    """A run that does one cell whenever it is kept up."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths, self.cells = paths, 0

    def keep_up(self) -> None:
        self.cells += 1
        count = iter(range(1))
        work(self.paths, "0", runner(), stop=lambda: next(count, None) is None)

    def to_the_end(self) -> int:
        work(self.paths, "0", runner())
        return 0


class Nothing:
    """A fault that does nothing, but counts."""

    def __init__(self) -> None:
        self.kinds = {"nothing": lambda: True, "never": lambda: False}


@pytest.mark.parametrize(("asked", "done"), [(3, 3), (100, 7)])
def test_only_faults_that_disturb_somebody_count(
    asked: int, done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 8 cells the last one leaves none to go, and no fault after it counts."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    study, paths = write_study(tmp_path), RunPaths(tmp_path / "run")
    prepare(load_study(study), paths)
    runs: Any = Commands(paths)
    doing: Any = Nothing()
    counted = disturb(runs, doing, study, paths, asked, random.Random(0))
    assert dict(counted) == {"nothing": done}


def test_faults_that_this_machine_does_not_allow_are_named(tmp_path: Path) -> None:
    for disk in (True, False):
        doing = Faults(random.Random(0), RunPaths(tmp_path), None, disk, list, lambda: (0, ""))
        assert ("full disk" in doing.kinds) == disk
        assert [kind.partition(" (")[0] for kind in doing.not_here] == ["full disk"] * (not disk)


def test_the_page_says_how_it_was_made(tmp_path: Path) -> None:
    page = tmp_path / "reports" / "queue" / "README.md"
    write(page, "The queue", "python x.py 3", table(["what", "value"], [("a", 1), ("b", 2)]))
    text = page.read_text()
    assert text.startswith("# The queue\n\nMade by `python x.py 3` on ")
    assert text.endswith("| what | value |\n| --- | ---: |\n| a | 1 |\n| b | 2 |\n")
