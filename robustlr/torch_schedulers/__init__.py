"""The schedules of a study, in somebody's own PyTorch loop."""

from robustlr.torch_schedulers.schedule import ScheduleLR

__all__ = ["ScheduleLR"]
