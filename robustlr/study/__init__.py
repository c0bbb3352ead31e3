"""A StudySpec as an Optuna study of cells."""

from robustlr.study.locks import hold, is_held
from robustlr.study.plan import Plan, check_edits, living_workers, plan, prepare, requeue
from robustlr.study.queue import CellQueue
from robustlr.study.work import RunCell, record_failure, work

__all__ = [
    "CellQueue",
    "Plan",
    "RunCell",
    "check_edits",
    "hold",
    "is_held",
    "living_workers",
    "plan",
    "prepare",
    "record_failure",
    "requeue",
    "work",
]
