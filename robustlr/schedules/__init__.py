"""Learning-rate schedules: pure maths, numpy alone."""

from robustlr.schedules.auto_warmup import AutoWarmup
from robustlr.schedules.base import AnySchedule, FeedbackSchedule, Schedule, to_table
from robustlr.schedules.cosine import Cosine
from robustlr.schedules.curvature_adaptive import CurvatureAdaptive
from robustlr.schedules.feedback import CurvatureRequest, Feedback
from robustlr.schedules.fixed import Fixed
from robustlr.schedules.inverse_sqrt import InverseSqrt
from robustlr.schedules.polynomial import Polynomial
from robustlr.schedules.registry import ALIASES, parse, schedule_types
from robustlr.schedules.tabulated import Tabulated
from robustlr.schedules.warmup import Warmup
from robustlr.schedules.wsd import WSD

__all__ = [
    "ALIASES",
    "WSD",
    "AnySchedule",
    "AutoWarmup",
    "Cosine",
    "CurvatureAdaptive",
    "CurvatureRequest",
    "Feedback",
    "FeedbackSchedule",
    "Fixed",
    "InverseSqrt",
    "Polynomial",
    "Schedule",
    "Tabulated",
    "Warmup",
    "parse",
    "schedule_types",
    "to_table",
]
