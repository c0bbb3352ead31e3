"""The schedules of a study, in somebody's own PyTorch loop."""

from robustlr.torch_schedulers.auto_warmup import AutoWarmupLR
from robustlr.torch_schedulers.base import TorchScheduler
from robustlr.torch_schedulers.curvature_adaptive import CurvatureAdaptiveLR
from robustlr.torch_schedulers.schedule import ScheduleLR

__all__ = ["AutoWarmupLR", "CurvatureAdaptiveLR", "ScheduleLR", "TorchScheduler"]
