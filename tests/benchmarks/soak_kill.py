"""kill -9 at random moments, again and again: the table must be that of an undisturbed run.

    PYTHONPATH=. python tests/benchmarks/soak_kill.py [KILLS] [SEED]

Runs a study of the command line twice: once undisturbed, once while random workers, or the
command with its whole tree of processes, are killed at random moments and the command is given
again. Ends with status 1 unless both tables are equal to the bit, no cell is lost and none has
run twice.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil

from robustlr.records import RunPaths, load_results
from robustlr.specs import load_study
from robustlr.study import plan

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
"""


def start(study: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "robustlr_cli.app", "study", "run", str(study)]
    with open(log, "ab") as output:
        return subprocess.Popen(
            [*command, "--out", str(out), "--no-report", "--workers", "2"], stderr=output
        )


def disturb(run: subprocess.Popen[bytes], chance: random.Random) -> str:
    """Kill one worker, or the command, or the command and everything below it."""
    me = psutil.Process(run.pid)
    children = me.children(recursive=True)
    kind = chance.choice(["worker", "command", "tree"])
    if kind == "worker" and not children:
        kind = "command"
    victims = [chance.choice(children)] if kind == "worker" else [me]
    if kind == "tree":
        victims += children
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    return kind


def table(paths: RunPaths, study: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    results = load_results(paths, load_study(study))
    assert not results.missing
    assert not results.failed
    return results.runs.drop("wall_seconds"), results.curves.drop("wall_seconds")


def main(kills: int, seed: int) -> int:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        study = root / "soak.toml"
        study.write_text(STUDY.format(seeds=max(2, kills)))
        log = root / "log"
        undisturbed, disturbed = RunPaths(root / "undisturbed"), RunPaths(root / "disturbed")
        if start(study, undisturbed.root, log).wait() != 0:
            print(log.read_text())
            return 1
        done: Counter[str] = Counter()
        stamps: dict[str, int] = {}
        run_again = 0
        run = start(study, disturbed.root, log)
        while True:
            with suppress(subprocess.TimeoutExpired):
                run.wait(chance.uniform(0.5, 6.0))
            if run.poll() is None and sum(done.values()) < kills:
                done[disturb(run, chance)] += 1
                time.sleep(0.3)  # a killed command is seen as such
            for path in disturbed.cells.glob("*.parquet"):
                stamp = path.stat().st_mtime_ns
                run_again += stamps.setdefault(path.name, stamp) != stamp
                stamps[path.name] = stamp
            if run.poll() == 0:
                break
            if run.returncode is not None:
                run = start(study, disturbed.root, log)
        same = all(
            mine.equals(theirs)
            for mine, theirs in zip(table(disturbed, study), table(undisturbed, study), strict=True)
        )
        cells = len(plan(load_study(study), disturbed).cells)
        print(
            f"{sum(done.values())} kills ({dict(done)}) over {cells} cells, seed {seed}: "
            f"{run_again} results written twice, tables {'equal' if same else 'DIFFER'}"
        )
        return 0 if same and not run_again and sum(done.values()) >= kills else 1


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*arguments, *(30, 0)[len(arguments) :]))
