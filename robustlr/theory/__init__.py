"""Bounds for any schedule, predicted misspecification curves, and the shape that does best."""

from robustlr.theory.bound import Bound
from robustlr.theory.continuous import HORIZON, continuous_bound, shape_integrals
from robustlr.theory.design import Design, WorstCase, design, designed_schedule, worst_case
from robustlr.theory.discrete import discrete_bound
from robustlr.theory.integrals import Integrals, integrate
from robustlr.theory.minimax import minimax_shape
from robustlr.theory.predictions import predicted

__all__ = [
    "HORIZON",
    "Bound",
    "Design",
    "Integrals",
    "WorstCase",
    "continuous_bound",
    "design",
    "designed_schedule",
    "discrete_bound",
    "integrate",
    "minimax_shape",
    "predicted",
    "shape_integrals",
    "worst_case",
]
