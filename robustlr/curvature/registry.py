"""Every estimator by name."""

from __future__ import annotations

from robustlr.curvature.base import Estimator
from robustlr.curvature.finite_difference import FiniteDifference
from robustlr.curvature.gauss_newton import GaussNewton
from robustlr.curvature.hutchinson import Hutchinson
from robustlr.curvature.squared_gradient import SquaredGradient
from robustlr.errors import SpecError, did_you_mean


def estimator_types() -> dict[str, type[Estimator]]:
    """The estimator classes by the name that a schedule's `estimator` may have."""
    types = (Hutchinson, GaussNewton, FiniteDifference, SquaredGradient)
    return {cls.name: cls for cls in types}


def make_estimator(name: str, *, probes: int = 1) -> Estimator:
    """The estimator of that name. Raises SpecError for an unknown one.

    >>> make_estimator("hutchinson", probes=2)
    Hutchinson(probes=2)
    """
    types = estimator_types()
    if name not in types:
        raise SpecError(f"unknown estimator '{name}'; {did_you_mean(name, types)}")
    return types[name](probes=probes)
