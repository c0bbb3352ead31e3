"""What the theory predicts for the schedules of a study, by their labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from robustlr.errors import SpecError
from robustlr.theory import Bound, predicted

_POINTS = 61


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """curves: columns schedule, rho, ratio. exponents: columns schedule, exponent (the slope
    over the fitted range), asymptotic. Schedules the theory does not cover have no rows."""

    curves: pl.DataFrame
    exponents: pl.DataFrame


def predictions(
    schedules: Iterable[str], *, rho: tuple[float, float], fitted: tuple[float, float]
) -> Predictions:
    """Misspecification curves over the range rho, and their slopes over the range fitted."""
    at = np.geomspace(*rho, _POINTS)
    curves, exponents = [], []
    for name in schedules:
        bound = _bound(name)
        if bound is None:
            continue
        curves.append(
            pl.DataFrame({"schedule": [name] * len(at), "rho": at, "ratio": bound.ratio(at)})
        )
        exponents.append((name, bound.slope(*fitted), bound.exponent))
    empty = {"schedule": pl.String(), "rho": pl.Float64(), "ratio": pl.Float64()}
    return Predictions(
        curves=pl.concat([pl.DataFrame(schema=empty), *curves]),
        exponents=pl.DataFrame(
            exponents,
            schema={"schedule": pl.String(), "exponent": pl.Float64(), "asymptotic": pl.Float64()},
            orient="row",
        ),
    )


def _bound(name: str) -> Bound | None:
    """None for a schedule that needs feedback, or whose label names no schedule of ours."""
    try:
        return predicted(name)
    except SpecError:
        return None
