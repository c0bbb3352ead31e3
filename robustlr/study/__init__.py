"""A StudySpec as an Optuna study of cells."""

from robustlr.study.joining import join
from robustlr.study.locks import hold, holder, is_held
from robustlr.study.one_queue import moves, with_its_storage
from robustlr.study.opening import STORAGE_VARIABLE, open_queue, with_storage
from robustlr.study.outcome import record_failure
from robustlr.study.plan import Plan, check_edits, living_workers, plan, prepare
from robustlr.study.queue import CellQueue, Claim, Sign, Tally
from robustlr.study.sharing import agree_on_code, agree_on_version
from robustlr.study.vigil import Vigil
from robustlr.study.watching import Situation, Watch, WorkerState
from robustlr.study.work import RunCell, work

__all__ = [
    "STORAGE_VARIABLE",
    "CellQueue",
    "Claim",
    "Plan",
    "RunCell",
    "Sign",
    "Situation",
    "Tally",
    "Vigil",
    "Watch",
    "WorkerState",
    "agree_on_code",
    "agree_on_version",
    "check_edits",
    "hold",
    "holder",
    "is_held",
    "join",
    "living_workers",
    "moves",
    "open_queue",
    "plan",
    "prepare",
    "record_failure",
    "with_its_storage",
    "with_storage",
    "work",
]
