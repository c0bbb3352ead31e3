"""Batches from worker processes: the same as without them, told when they fail, gone afterwards."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch

from robustlr.errors import DataError
from robustlr.workloads import Batch, Draw, Request
from robustlr.workloads.loading import loaded_ahead

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Squares:
    """indices² and the numbers drawn; `bad` cannot be loaded, `deadly` ends the process."""

    bad: int = -1
    deadly: int = -1

    def __call__(self, request: Request) -> Batch:
        if self.bad in request.indices:
            raise DataError(f"example {self.bad} cannot be decoded")
        if self.deadly in request.indices:
            os.kill(os.getpid(), signal.SIGKILL)
        drawn = torch.zeros(0) if request.draw is None else request.draw.uniform(2)
        return request.indices**2, drawn, torch.tensor([os.getpid()])


def requests(start: int = 0) -> Iterator[Request]:
    """Endless, as a training run's are."""
    for k in itertools.count(start):
        yield Request(torch.arange(k, k + 3), Draw(k, 6, torch.tensor([5, 0, 2])))


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True) if lives(child)}


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_come_in_order_as_without_workers(workers: int) -> None:
    stream = loaded_ahead(Squares(), requests(), workers=workers, device=CPU)
    processes = set()
    for mine, request in zip(itertools.islice(stream, 20), requests(), strict=False):
        squares, drawn, process = Squares()(request)
        assert torch.equal(mine[0], squares)
        assert torch.equal(mine[1], drawn)
        processes.add(int(mine[2]))
        assert mine[2] != process
    assert len(processes) == min(workers, len(os.sched_getaffinity(0)))
    stream.close()


def test_an_end_of_requests_is_an_end_of_batches() -> None:
    few = [Request(torch.tensor([k])) for k in range(5)]
    batches = list(loaded_ahead(Squares(), few, workers=2, device=CPU))
    assert [int(batch[0]) for batch in batches] == [0, 1, 4, 9, 16]


def test_what_fails_in_a_worker_is_one_sentence_in_its_turn() -> None:
    stream = loaded_ahead(Squares(bad=9), requests(), workers=2, device=CPU)
    for k in range(7):
        assert int(next(stream)[0][0]) == k**2
    with pytest.raises(DataError) as caught:
        next(stream)
    assert str(caught.value) == "example 9 cannot be decoded"
    assert caught.value.__cause__ is None


def test_a_worker_that_is_killed_is_told() -> None:
    stream = loaded_ahead(Squares(deadly=7), requests(), workers=1, device=CPU)
    with pytest.raises(DataError, match="a process that loads data has died, of too little memory"):
        list(itertools.islice(stream, 20))


def test_no_process_outlives_its_stream() -> None:
    list(loaded_ahead(Squares(), [Request(torch.arange(1))], workers=1, device=CPU))
    before = children()  # the fork server, and what keeps count of shared memory
    stream = loaded_ahead(Squares(), requests(), workers=2, device=CPU)
    assert children() == before, "nothing starts before the first batch is asked for"
    next(stream)
    assert len(children() - before) >= 1
    stream.close()
    assert children() == before


def test_nor_the_process_that_asked(tmp_path: Path) -> None:
    """Killed in the middle: nobody is left to tell the workers."""
    script = tmp_path / "asks.py"
    script.write_text(
        "import torch, time\n"
        "from tests.workloads.test_loading import Squares, requests, loaded_ahead\n"
        "if __name__ == '__main__':\n"
        "    stream = loaded_ahead(\n"
        "        Squares(), requests(), workers=2, device=torch.device('cpu')\n"
        "    )\n"
        "    next(stream)\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    asks = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert asks.stdout is not None
    with asks, asks.stdout:
        assert asks.stdout.readline() == b"ready\n"
        below = psutil.Process(asks.pid).children(recursive=True)
        assert len(below) >= 3
        asks.kill()
    deadline = time.monotonic() + 60
    while any(map(lives, below)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [process for process in below if lives(process)]
    for process in left:
        process.kill()
    assert not left
