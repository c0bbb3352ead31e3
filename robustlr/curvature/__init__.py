"""Estimators of the trace and the diagonal of a loss's Hessian, for any PyTorch module."""

from robustlr.curvature.base import (
    CurvatureEstimate,
    Estimator,
    LossFn,
    SampleLossFn,
    identity,
)
from robustlr.curvature.batches import leading_examples
from robustlr.curvature.finite_difference import FiniteDifference
from robustlr.curvature.gauss_newton import GaussNewton
from robustlr.curvature.hutchinson import Hutchinson
from robustlr.curvature.probes import probe_generator
from robustlr.curvature.registry import estimator_types, make_estimator
from robustlr.curvature.squared_gradient import SquaredGradient

__all__ = [
    "CurvatureEstimate",
    "Estimator",
    "FiniteDifference",
    "GaussNewton",
    "Hutchinson",
    "LossFn",
    "SampleLossFn",
    "SquaredGradient",
    "estimator_types",
    "identity",
    "leading_examples",
    "make_estimator",
    "probe_generator",
]
