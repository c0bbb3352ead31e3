"""Training one cell."""

from robustlr.training.keeper import Checkpoints
from robustlr.training.loop import train
from robustlr.training.memory import out_of_memory
from robustlr.training.rehearsal import rehearse
from robustlr.training.setting import end_training
from robustlr.training.tracking import Tracking, require_trackers

__all__ = [
    "Checkpoints",
    "Tracking",
    "end_training",
    "out_of_memory",
    "rehearse",
    "require_trackers",
    "train",
]
