"""Training one cell."""

from robustlr.training.loop import end_training, train

__all__ = ["end_training", "train"]
