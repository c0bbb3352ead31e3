"""Random faults, one after the other: the table must be that of an undisturbed run.

    PYTHONPATH=. python tests/benchmarks/soak.py [journal|postgresql] [FAULTS] [SEED] [REPORT.md]

Runs a study of the command line twice: once undisturbed, once while faults (see faults.py) are
done to it at random moments and what ended is started again. On PostgreSQL a `study worker` is at
work beside the `study run`, as on another machine. Ends with status 1 unless both tables are equal
to the bit, no cell is lost, and no cell was written or told as complete twice (once more for every
time its result was cut), and unless as many faults as asked for were done while there were cells to
go. Kinds of fault that this machine does not allow are named. With REPORT.md, the outcome is
written there too.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import optuna
import polars as pl

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from robustlr.study import STORAGE_VARIABLE, plan
from robustlr.study.journal import Journal
from tests.benchmarks.faults import Faults, small_disk
from tests.benchmarks.written import table, write
from tests.postgres import running_server

STUDY = """\
seeds = {seeds}
batch_size = 32
num_steps = 300
schedule = ["fixed", "linear", "cosine", "curvature_adaptive"]
[grid]
low = 0.001
high = 10.0
points_per_decade = 2
[workload]
kind = "digits_mlp"
hidden = [32]
[execution]
max_retries = 1000
heartbeat_seconds = 0.5
"""
PROGRAM = [sys.executable, "-m", "robustlr_cli.app", "study"]


class Written(threading.Thread):
    """Counts how often each cell's result was written: a rename, hence another inode."""

    def __init__(self, cells: Path) -> None:
        super().__init__(daemon=True)
        self.times: Counter[str] = Counter()
        self._cells, self._seen, self._ended = cells, dict[str, int](), threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.look()

    def look(self) -> None:
        with suppress(FileNotFoundError), os.scandir(self._cells) as entries:
            for entry in entries:
                cell, kind = os.path.splitext(entry.name)
                if kind == ".parquet" and self._seen.get(cell) != entry.inode():
                    self._seen[cell] = entry.inode()
                    self.times[cell] += 1

    def end(self) -> None:
        self._ended.set()
        self.join()
        self.look()


class Runs:
    """The commands at work on the study in `root`, started again whenever one ends."""

    def __init__(self, study: Path, root: Path, log: Path, storage: str) -> None:
        self._study, self._root, self._log = study, root, log
        self._environment = {**os.environ, STORAGE_VARIABLE: storage}
        self._wanted = ["run", "worker"] if storage else ["run"]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def alive(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self._processes.values() if process.poll() is None]

    def keep_up(self) -> None:
        """Start what has ended."""
        for command in self._wanted:
            process = self._processes.get(command)
            if process is None or process.poll() is not None:
                self._processes[command] = self._start(command)

    def to_the_end(self) -> int:
        """Wait for all; the status of the run."""
        statuses = [process.wait() for process in self._processes.values()]
        return statuses[0]

    def again(self) -> tuple[int, str]:
        """One more run of the same study: its status and what it said."""
        with tempfile.TemporaryFile() as output:
            process = self._start("run", output.fileno())
            if self._processes["run"].poll() is not None:  # then this one is the run
                process.kill()
            status = process.wait()
            output.seek(0)
            return status, output.read().decode()

    def _start(self, command: str, output: int | None = None) -> subprocess.Popen[bytes]:
        more = ["--no-report", "--workers", "2"] if command == "run" else []
        with open(self._log, "ab") as log:
            return subprocess.Popen(
                [*PROGRAM, command, str(self._study), "--out", str(self._root), *more],
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=output or log,
                env=self._environment,
            )


def result_tables(paths: RunPaths, study: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    results = load_results(paths, load_study(study))
    assert not results.missing
    assert not results.failed
    return results.runs.drop("wall_seconds"), results.curves.drop("wall_seconds")


def completed(paths: RunPaths, url: str) -> Counter[str]:
    """How often each cell was told as complete, by Optuna's own account."""
    storage: optuna.storages.BaseStorage = (
        optuna.storages.RDBStorage(url.replace("://", "+psycopg://", 1))
        if url
        else optuna.storages.JournalStorage(Journal(paths.journal))
    )
    study = optuna.load_study(study_name="soak", storage=storage)
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return Counter(str(trial.user_attrs["cell"]) for trial in done)


def disturb(
    runs: Runs, doing: Faults, study: Path, paths: RunPaths, faults: int, chance: random.Random
) -> Counter[str]:
    """Run the study to its end through that many faults, if it lasts so long: kind → how many.

    What is done when no cell is to go any more disturbs nothing, and ends it.
    """
    done: Counter[str] = Counter()
    keys = {cell.key for cell in load_study(study).cells()}
    started = time.monotonic()
    while plan(load_study(study), paths).to_run:
        runs.keep_up()
        if done.total() >= faults:
            if runs.to_the_end() != 0:
                time.sleep(1.0)
            continue
        time.sleep(chance.uniform(0.5, 6.0))
        kinds = chance.sample(sorted(doing.kinds), len(doing.kinds))
        for kind in sorted(kinds, key=done.__getitem__):  # all in turn
            left = len(keys - {path.stem for path in paths.cells.glob("*.parquet")})
            if left and doing.kinds[kind]():  # it has its moment; if not this one, the next
                done[kind] += 1
                seconds = time.monotonic() - started
                print(f"{seconds:6.0f} s, {left} cells to go: {kind}", flush=True)
                break
    runs.to_the_end()
    return done


def main(storage: str, faults: int, seed: int, report: Path | None) -> int:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_server()) if storage == "postgresql" else None
        disk = stack.enter_context(small_disk(root / "disk"))
        study, log = root / "soak.toml", root / "log"
        study.write_text(STUDY.format(seeds=max(2, faults * 2 // 3)))
        undisturbed, disturbed = RunPaths(root / "undisturbed"), RunPaths(root / "disk" / "run")
        calm = Runs(study, undisturbed.root, log, "")
        calm.keep_up()
        if calm.to_the_end() != 0:
            print(log.read_text())
            return 1
        cells = len(plan(load_study(study), undisturbed).cells)
        runs = Runs(study, disturbed.root, log, "" if server is None else server.url)
        chance = random.Random(seed)
        doing = Faults(chance, disturbed, server, disk, runs.alive, runs.again)
        written = Written(disturbed.cells)
        written.start()
        done = disturb(runs, doing, study, disturbed, faults, chance)
        written.end()
        pairs = zip(result_tables(disturbed, study), result_tables(undisturbed, study), strict=True)
        same = all(mine.equals(theirs) for mine, theirs in pairs)
        times = {
            "written": written.times,
            "told as complete": completed(disturbed, "" if server is None else server.url),
        }
    twice = {
        what: sum(count > 1 + doing.cuts[cell] for cell, count in counted.items())
        for what, counted in times.items()
    }
    lines = [
        f"{done.total()} of {faults} faults while there were cells to go, over {cells} cells on "
        f"{storage}, seed {seed}: 0 cells lost, "
        + "".join(f"{count} {what} twice, " for what, count in twice.items())
        + f"tables {'equal' if same else 'DIFFER'}."
    ]
    never = [f"{kind} (its turn never came)" for kind in sorted(doing.kinds) if not done[kind]]
    if missing := doing.not_here + never:
        lines += ["", f"Not done here: {'; '.join(missing)}."]
    lines += ["", *table(["fault", "times"], sorted(done.items()))]
    print("\n".join(lines))
    if report:
        command = f"python tests/benchmarks/soak.py {storage} {faults} {seed} {report}"
        write(report, f"A study through random faults: {storage}", command, lines)
    return 0 if same and not any(twice.values()) and done.total() >= faults else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(
        main(
            arguments[0] if arguments else "journal",
            int(arguments[1]) if len(arguments) > 1 else 30,
            int(arguments[2]) if len(arguments) > 2 else 0,
            Path(arguments[3]) if len(arguments) > 3 else None,
        )
    )
