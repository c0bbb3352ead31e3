"""One rank of a torchrun group: ``python -m robustlr.execution.rank FOLDER``, a `Job`'s."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

import torch

from robustlr.errors import CellStoppedError, one_line
from robustlr.execution.job import Ending, Failure, Job
from robustlr.execution.lifeline import end_with_parent
from robustlr.execution.stopping import Stop
from robustlr.records import write_result
from robustlr.training import end_training, out_of_memory
from robustlr.workloads import build_workload

NOTE_MARK = "robustlr: "


def main(folder: str) -> int:
    """Train this rank's part; rank 0 writes the result. Exit status 1 after an error."""
    stop = Stop()
    end_with_parent()
    job, rank = Job(Path(folder)), int(os.environ.get("RANK", "0"))
    request = job.asked()
    try:
        workload = build_workload(request.cell.workload)
        record, curve = request.train(workload, _Life(job, stop).update, _note)
        if rank == 0:
            write_result(job.result, record, curve)
    except CellStoppedError as stopped:
        job.give_up(Failure(rank, Ending.STOPPED, str(stopped), time.time()))
        end_training()
        return 0
    except (Exception, SystemExit) as error:
        # no end_training here: the other ranks may wait in a collective, torchrun ends them
        when = time.time()
        traceback.print_exc()
        job.give_up(Failure(rank, *_said(error), when))
        return 1
    end_training()
    return 0


class _Life:
    """Shows the group's parent that updates are made, once a second at most."""

    def __init__(self, job: Job, stop: Stop) -> None:
        self._job, self._stop, self._shown = job, stop, 0.0

    def update(self) -> bool:
        """In every update; whether to stop."""
        now = time.monotonic()
        if now - self._shown > 1.0:
            self._shown = now
            self._job.life.touch()
        return self._stop()


def _said(error: BaseException) -> tuple[Ending, str]:
    memory = out_of_memory(error)
    if memory is not None:
        return Ending.MEMORY, memory
    text = one_line(f"{type(error).__name__}: {error}")
    # gloo's and NCCL's own words; a plain RuntimeError is all that gloo has for them
    lost = isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and ("gloo" in text or "NCCL" in text)
    )
    return (Ending.LOST if lost else Ending.RAISED), text


def _note(text: str) -> None:
    print(f"{NOTE_MARK}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
