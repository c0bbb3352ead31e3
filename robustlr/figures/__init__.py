"""Frames as figures: one function each, without any I/O."""

from robustlr.figures.batch_size import picked_against_highest, tuned_against_batch_size
from robustlr.figures.curves import loss_curves
from robustlr.figures.dots import sensitivities, tolerated_grids
from robustlr.figures.grids import regret_against_resolution
from robustlr.figures.learning_rates import seed_spread, value_against_learning_rate
from robustlr.figures.misspecification import (
    misspecification_against_theory,
    misspecification_curves,
)
from robustlr.figures.rates import exponents, value_against_horizon
from robustlr.figures.rendering import png, svg
from robustlr.figures.speed import performance_profile, speedup_against_misspecification
from robustlr.figures.style import Look, Looks, looks
from robustlr.figures.traces import curvature_trace, warmup_trace

__all__ = [
    "Look",
    "Looks",
    "curvature_trace",
    "exponents",
    "looks",
    "loss_curves",
    "misspecification_against_theory",
    "misspecification_curves",
    "performance_profile",
    "picked_against_highest",
    "png",
    "regret_against_resolution",
    "seed_spread",
    "sensitivities",
    "speedup_against_misspecification",
    "svg",
    "tolerated_grids",
    "tuned_against_batch_size",
    "value_against_horizon",
    "value_against_learning_rate",
    "warmup_trace",
]
