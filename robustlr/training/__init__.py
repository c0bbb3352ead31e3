"""Training one cell."""

from robustlr.training.keeper import Checkpoints
from robustlr.training.loop import train
from robustlr.training.memory import out_of_memory
from robustlr.training.setting import end_training

__all__ = ["Checkpoints", "end_training", "out_of_memory", "train"]
