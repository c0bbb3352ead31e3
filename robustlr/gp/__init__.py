"""Exact one-dimensional Gaussian-process regression."""

from robustlr.gp.correlation import FloatArray, correlation
from robustlr.gp.left_out import rise
from robustlr.gp.regression import LOG_RATIO_BOUNDS, GaussianProcess, Spectrum

__all__ = [
    "LOG_RATIO_BOUNDS",
    "FloatArray",
    "GaussianProcess",
    "Spectrum",
    "correlation",
    "rise",
]
