"""Training one cell."""

from robustlr.training.loop import train
from robustlr.training.setting import end_training

__all__ = ["end_training", "train"]
