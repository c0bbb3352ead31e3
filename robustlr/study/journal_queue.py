"""The queue in a journal file: one machine, nothing to install."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from robustlr.errors import StorageError
from robustlr.records import RunPaths
from robustlr.specs import Cell, StudySpec
from robustlr.study.journal import Journal
from robustlr.study.locks import boot, is_held
from robustlr.study.queue import (
    ATTEMPT,
    CELL,
    REASON,
    SETTING,
    WORKER,
    CellQueue,
    Claim,
    IsDone,
    Sign,
    Tally,
    count,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)


class JournalQueue(CellQueue):
    """The trials of one study in `paths.journal`.

    Every change is one write under the file's lock, made after reading what others wrote. A full
    disk or a kill may leave the first lines of one: their order is such that no cell is lost by it.
    A worker is alive while it holds its lock file; the file's time is its last sign.

    create: begin the study where it is not there, which is an error otherwise.
    """

    one_machine = True

    def __init__(self, paths: RunPaths, name: str, *, create: bool = True) -> None:
        self._paths = paths
        self._journal = Journal(paths.journal)
        self._storage = JournalStorage(self._journal)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:  # to open is not to write
                self._study = optuna.load_study(storage=self._storage, study_name=name)
            except KeyError:
                if not create:
                    raise StorageError(
                        f"{paths.journal}: has no study '{name}'; `robustlr study run` begins it"
                    ) from None
                self._study = optuna.create_study(
                    storage=self._storage,
                    study_name=name,
                    direction="minimize",
                    load_if_exists=True,
                )
        self._study_id = self._storage.get_study_id_from_name(name)
        self._candidates: list[int] = []  # trials that waited when last looked, the first one last

    def add(
        self, cells: Iterable[Cell], spec: StudySpec, *, is_done: IsDone = lambda cell: False
    ) -> None:
        distributions = {
            "peak_lr": FloatDistribution(min(spec.grid), max(spec.grid), log=True),
            "schedule": CategoricalDistribution(spec.schedule_labels),
            "seed": IntDistribution(0, 2**31 - 1),
        }
        with self._one_write():
            unfinished = {
                trial.user_attrs.get(CELL)
                for trial in self._trials(TrialState.WAITING, TrialState.RUNNING)
            }
            self._study.add_trials(
                create_trial(
                    state=TrialState.WAITING,
                    params={
                        "peak_lr": cell.peak_lr,
                        "schedule": cell.schedule.label,
                        "seed": cell.seed,
                    },
                    distributions=distributions,
                    user_attrs={CELL: cell.key, SETTING: cell.setting},
                )
                for cell in cells
                if cell.key not in unfinished and not is_done(cell)
            )

    def claim(self, worker: str) -> Claim | None:
        with self._one_write():
            trial = self._next_waiting()
            if trial is None:
                return None
            self._storage.set_trial_user_attr(trial._trial_id, WORKER, worker)
            self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        return _claim(trial, worker)

    def _next_waiting(self) -> FrozenTrial | None:
        """The waiting trial that was added first."""
        for _ in range(2):  # what was seen last time, then a fresh look
            while self._candidates:
                trial = self._storage.get_trial(self._candidates.pop())
                if trial.state is TrialState.WAITING:
                    return trial
            waiting = self._trials(TrialState.WAITING)
            self._candidates = [trial._trial_id for trial in reversed(waiting)]
        return None

    def holds(self, claim: Claim) -> bool:
        return self._storage.get_trial(claim.trial).state is TrialState.RUNNING

    def complete(self, claim: Claim, value: float) -> bool:
        with self._one_write():
            if self._storage.get_trial(claim.trial).state is not TrialState.RUNNING:
                return False
            self._storage.set_trial_state_values(claim.trial, TrialState.COMPLETE, [value])
        return True

    def fail(self, claim: Claim, reason: str) -> bool:
        return self.take_away(claim, reason, retry=False)

    def take_away(self, claim: Claim, reason: str, *, retry: bool, blame: bool = True) -> bool:
        with self._one_write():
            trial = self._storage.get_trial(claim.trial)
            if trial.state is not TrialState.RUNNING:
                return False
            self._storage.set_trial_user_attr(claim.trial, REASON, reason)
            if retry and not self._is_unfinished(claim.key, but=claim.trial):
                again = {
                    CELL: claim.key,
                    SETTING: trial.user_attrs.get(SETTING, ""),
                    ATTEMPT: claim.attempt + blame,
                }
                self._study.add_trial(
                    create_trial(
                        state=TrialState.WAITING,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs=again,
                    )
                )
            self._storage.set_trial_state_values(claim.trial, TrialState.FAIL)
        return True

    def _is_unfinished(self, key: str, *, but: int) -> bool:
        """Whether another trial than `but` waits or runs for the cell."""
        return any(
            trial.user_attrs.get(CELL) == key and trial._trial_id != but
            for trial in self._trials(TrialState.WAITING, TrialState.RUNNING)
        )

    def waiting(self) -> set[str]:
        return {str(trial.user_attrs.get(CELL)) for trial in self._trials(TrialState.WAITING)}

    def running(self) -> list[Claim]:
        return [
            _claim(trial, str(trial.user_attrs.get(WORKER, "")))
            for trial in self._trials(TrialState.RUNNING)
        ]

    def tally(self, keys: Container[str]) -> Tally:
        trials = self._trials()
        states = ((str(t.user_attrs.get(CELL)), t.state.name, t.value) for t in trials)
        return count(states, keys)

    def beat(self, sign: Sign) -> None:
        with suppress(FileNotFoundError):
            os.utime(sign.lock)

    def forget(self, worker: str) -> None:
        """Nothing to do: its lock is free."""

    def signs(self) -> list[Sign]:
        locks = sorted(self._paths.locks.glob("worker-*.lock"))
        return [
            Sign(
                worker=lock.stem.removeprefix("worker-"),
                host=socket.gethostname(),
                beat=lock.stat().st_mtime_ns,
                seconds=max(time.time() - lock.stat().st_mtime, 0.0),
                boot=boot(),
                lock=str(lock),
            )
            for lock in locks
            if is_held(lock)
        ]

    def agree(self, name: str, value: str) -> str:
        with self._one_write():
            standing = self._storage.get_study_user_attrs(self._study_id).get(name)
            if not standing:
                self._storage.set_study_user_attr(self._study_id, name, value)
        return str(standing or value)

    def forget_agreements(self, prefix: str, *, unless_alive: float | None = None) -> None:
        with self._one_write():
            if unless_alive is not None and self.signs():
                return
            for name in self._storage.get_study_user_attrs(self._study_id):
                if name.startswith(prefix):
                    self._storage.set_study_user_attr(self._study_id, name, "")

    @contextmanager
    def _one_write(self) -> Iterator[None]:
        try:
            with self._journal.one_write():
                yield
        except KeyError as error:
            raise StorageError(f"the study's journal lost its study: {error}") from error

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those of cells: somebody may put others into the study with Optuna."""
        try:
            trials = self._storage.get_all_trials(
                self._study_id, deepcopy=False, states=states or None
            )
        except KeyError as error:
            raise StorageError(f"the study's journal lost its study: {error}") from error
        return [trial for trial in trials if CELL in trial.user_attrs]


def _claim(trial: FrozenTrial, worker: str) -> Claim:
    attributes = trial.user_attrs
    key, attempt = str(attributes.get(CELL)), int(attributes.get(ATTEMPT, 1))
    return Claim(trial._trial_id, trial.number, key, worker, attempt)
