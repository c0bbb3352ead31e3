"""The Optuna study as a queue of cells: one trial per attempt at a cell.

Every missing cell waits as a trial from the start; a worker claims one by compare-and-set, and
never samples. What is done is decided by the result files alone, so a trial that lies costs a
glance at a file, never a result.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from robustlr.errors import StorageError
from robustlr.records import RunPaths
from robustlr.specs import Cell, StudySpec
from robustlr.study.journal import Journal

optuna.logging.set_verbosity(optuna.logging.WARNING)

_KEY, _WORKER, _REASON = "cell", "worker", "reason"


@dataclass(frozen=True, slots=True)
class Tally:
    """Cells that wait, that run, that were given up; and the least value told so far."""

    waiting: int
    running: int
    failed: int
    best_value: float | None


class CellQueue:
    """The trials of one study. Raises StorageError where the journal fails."""

    def __init__(self, paths: RunPaths, name: str) -> None:
        self._journal = Journal(paths.journal)
        self._storage = JournalStorage(self._journal)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
            )
        self._study_id = self._storage.get_study_id_from_name(name)
        self._candidates: list[int] = []

    def add(self, cells: Iterable[Cell], spec: StudySpec) -> None:
        """Let cells wait, all in one write."""
        rates = list(spec.grid)
        distributions = {
            "peak_lr": FloatDistribution(min(rates), max(rates), log=True),
            "schedule": CategoricalDistribution(spec.schedule_labels),
            "seed": IntDistribution(0, 2**31 - 1),
        }
        trials = [
            create_trial(
                state=TrialState.WAITING,
                params={
                    "peak_lr": cell.peak_lr,
                    "schedule": cell.schedule.label,
                    "seed": cell.seed,
                },
                distributions=distributions,
                user_attrs={_KEY: cell.key, "setting": cell.setting},
            )
            for cell in cells
        ]
        if trials:
            with self._journal.one_write():
                self._study.add_trials(trials)

    def claim(self, worker: str) -> tuple[int, str] | None:
        """(trial number, cell key) of a waiting trial that now is ours; None when none waits."""
        while True:
            if not self._candidates:
                waiting = self._trials(TrialState.WAITING)
                if not waiting:
                    return None
                self._candidates = [trial.number for trial in reversed(waiting)]
            number = self._candidates.pop()
            trial_id = self._trial_id(number)
            trial = self._storage.get_trial(trial_id)
            if trial.state is not TrialState.WAITING:
                continue
            if self._take(trial_id):
                self._storage.set_trial_user_attr(trial_id, _WORKER, worker)
                return number, str(trial.user_attrs[_KEY])

    def _take(self, trial_id: int) -> bool:
        """Compare-and-set from WAITING to RUNNING; False where another worker was faster."""
        try:
            return self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except UpdateFinishedTrialError:  # so much faster that it has finished already
            return False

    def complete(self, number: int, value: float) -> None:
        """Tell the trial's value; a trial that somebody else ended stays as it is."""
        self._study.tell(number, value, skip_if_finished=True)

    def fail(self, number: int, reason: str) -> None:
        """End a trial as FAIL, and say why."""
        trial_id = self._trial_id(number)
        if not self._storage.get_trial(trial_id).state.is_finished():
            self._storage.set_trial_user_attr(trial_id, _REASON, reason)
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def waiting(self) -> set[str]:
        """Keys of the cells that wait."""
        return {str(trial.user_attrs.get(_KEY)) for trial in self._trials(TrialState.WAITING)}

    def running(self, worker: str | None = None) -> Mapping[int, str]:
        """Trial number → cell key of what runs, or of what `worker` runs."""
        return {
            trial.number: str(trial.user_attrs.get(_KEY))
            for trial in self._trials(TrialState.RUNNING)
            if worker is None or trial.user_attrs.get(_WORKER) == worker
        }

    def tally(self, keys: Container[str]) -> Tally:
        """How far the cells in `keys` are."""
        by_state: dict[TrialState, set[str]] = {state: set() for state in TrialState}
        best: float | None = None
        for trial in self._trials(None):
            key = str(trial.user_attrs.get(_KEY))
            if key in keys:
                by_state[trial.state].add(key)
            if trial.value is not None and (best is None or trial.value < best):
                best = trial.value
        waiting, running = by_state[TrialState.WAITING], by_state[TrialState.RUNNING]
        failed = by_state[TrialState.FAIL] - by_state[TrialState.COMPLETE] - waiting - running
        return Tally(len(waiting), len(running), len(failed), best)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    def _trials(self, state: TrialState | None) -> list[FrozenTrial]:
        states = None if state is None else (state,)
        try:
            return self._storage.get_all_trials(self._study_id, deepcopy=False, states=states)
        except KeyError as error:
            raise StorageError(f"the study's journal lost its study: {error}") from error
