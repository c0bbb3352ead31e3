"""Driving a study on a SLURM cluster: an array of jobs whose workers take cells.

Nothing here has to stay: jobs go on without the run that submitted them, and the same command
finds them again by the ids in the study's folder.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from robustlr.errors import ClusterError, InterruptedStudyError, RobustlrError
from robustlr.execution import slurm
from robustlr.execution.driving import Progress, Snapshot, driving
from robustlr.execution.slurm_script import cells_per_job, script
from robustlr.execution.stopping import undisturbed
from robustlr.files import write_atomic
from robustlr.records import RunPaths, read_json, write_json
from robustlr.specs import StudySpec
from robustlr.study import STORAGE_VARIABLE, Tally, Vigil, prepare

_POLL_SECONDS = 1.0
_LOOK_SECONDS = 10.0  # between two questions to SLURM's controller, which serves everybody
_MOST_SUBMISSIONS_IN_VAIN = 2
_TOLD = "robustlr: "  # in front of an error of a worker

_Reached = tuple[int, frozenset[tuple[str, int]]]
"""Cells that ended, and the checkpoints of others with their times."""


@dataclass(slots=True, kw_only=True)
class ClusterDrive:
    """Runs every missing cell of a study with up to `workers` jobs at a time.

    folders: put in front of the workers' import path, for the user's own workloads. new_code:
    theirs may differ from that of the results.
    """

    spec: StudySpec
    paths: RunPaths
    workers: int
    folders: tuple[Path, ...] = ()
    new_code: bool = False
    _arrays: list[str] = field(default_factory=list)
    _reached: _Reached | None = None  # when jobs were last submitted
    _in_vain: int = 0  # submissions in a row of which nothing came

    def run(self, on_progress: Callable[[Snapshot], None], *, detach: bool = False) -> None:
        """Returns when every cell has a result or FAILED; with `detach`, when jobs are queued.

        Raises ClusterError where SLURM refuses, StudyConflictError where another run drives the
        study, InterruptedStudyError where it was cancelled, RobustlrError with the words of a
        worker that could not go on. The jobs outlive the call unless all cells are done.
        """
        self._check_hosts()
        with driving(self.paths):
            current, queue = prepare(self.spec, self.paths, new_code=self.new_code)
            progress = Progress(current, queue)
            vigil = Vigil(spec=self.spec, paths=self.paths, queue=queue, cells=progress.to_run)
            self._arrays = submitted(self.paths)
            looked = -math.inf
            while True:
                tally, snapshot = progress.look()
                on_progress(snapshot)
                if not tally.waiting + tally.running:
                    self._tidy_up()
                    return
                if time.monotonic() - looked > _LOOK_SECONDS:
                    looked = time.monotonic()
                    self._staff(tally, snapshot.finished)
                if detach:
                    return
                time.sleep(_POLL_SECONDS)
                vigil.look()

    def _check_hosts(self) -> None:
        """A journal is safe on one machine alone: with several it has been seen to break."""
        wanted = self.spec.execution.slurm
        if self.spec.execution.storage:
            return
        found = slurm.hosts(wanted.partition, str(wanted.extra.get("nodelist", "")))
        elsewhere = sorted(host for host in found if not slurm.is_this_machine(host))
        if elsewhere:
            more = f" and {len(elsewhere) - 1} more" if len(elsewhere) > 1 else ""
            raise ClusterError(
                f"the jobs may run on {elsewhere[0]}{more}, and a journal file serves this machine "
                "alone: name a database with --storage postgresql://user@host/database"
            )

    def _staff(self, tally: Tally, finished: int) -> None:
        """Submit jobs as long as cells wait, and as long as that helps."""
        if self._arrays and not self.paths.jobs.exists():
            raise InterruptedStudyError("cancelled; the same command goes on from here")
        if not tally.waiting:
            return
        try:
            alive = len(slurm.living(self._arrays))
        except ClusterError:  # a controller that is busy: the workers do not need it
            return
        reached = self._look(finished)
        if reached == self._reached:  # nothing came of the last jobs, or not yet
            if alive:
                return
            self._despair()
        else:
            self._in_vain = 0
        cells = math.ceil((tally.waiting + tally.running) / cells_per_job(self.spec))
        if jobs := max(min(self.workers, cells) - alive, 0):
            self._reached = reached
            self._submit(jobs)

    def _look(self, finished: int) -> _Reached:
        """A cell that needs several jobs moves its checkpoint on in each of them."""
        checkpoints = set()
        for path in self.paths.checkpoints.glob("*.safetensors"):
            with suppress(FileNotFoundError):  # its cell ended at this moment
                checkpoints.add((path.stem, path.stat().st_mtime_ns))
        return finished, frozenset(checkpoints)

    def _submit(self, jobs: int) -> None:
        self.paths.cluster.mkdir(exist_ok=True)
        file = self.paths.cluster / "workers.sh"
        write_atomic(file, script(self.spec, self.paths, jobs, self.folders).encode())
        storage = self.spec.execution.storage
        with undisturbed():  # jobs whose ids are not written down would be nobody's
            self._arrays.append(slurm.submit(file, {STORAGE_VARIABLE: storage} if storage else {}))
            write_json(self.paths.jobs, self._arrays)

    def _despair(self) -> None:
        """Raise where another submission would end like the last one."""
        self._in_vain += 1
        logs = sorted(
            self.paths.cluster.glob(f"{self._arrays[-1]}_*.log"),
            key=lambda path: path.stat().st_mtime,
        )
        lines = logs[-1].read_text(errors="replace").strip().splitlines() if logs else []
        last = lines[-1] if lines else ""
        if last.startswith(_TOLD):
            raise RobustlrError(last.removeprefix(_TOLD))
        if self._in_vain == _MOST_SUBMISSIONS_IN_VAIN:
            where = logs[-1] if logs else f"no log in {self.paths.cluster}: do the nodes share it?"
            raise ClusterError(
                f"{self._in_vain} times all jobs ended before a cell was done; "
                f"the last one said: {last or 'nothing'} ({where})"
            )

    def _tidy_up(self) -> None:
        """Jobs that still wait for their turn would find nothing to do."""
        with suppress(ClusterError):
            slurm.cancel(self._arrays, waiting_only=True)
        self.paths.jobs.unlink(missing_ok=True)


class Jobs:
    """A study's jobs as somebody sees them who looks often; SLURM is asked now and then only."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._asked = -math.inf
        self._states: Counter[str] = Counter()

    def states(self) -> Mapping[str, int]:
        """State ("RUNNING", "PENDING", ...) → number of jobs; empty where SLURM does not answer."""
        if time.monotonic() - self._asked > _LOOK_SECONDS:
            self._asked = time.monotonic()
            with suppress(RobustlrError):
                self._states = Counter(slurm.living(submitted(self._paths)).values())
        return self._states


def submitted(paths: RunPaths) -> list[str]:
    """Ids of the job arrays that were submitted for the study, ended ones too."""
    return [str(array) for array in read_json(paths.jobs)] if paths.jobs.exists() else []
