"""A test of a minimum that leaves nothing out: both checks, each asked of everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robustlr.gp import LOG_RATIO_BOUNDS, Spectrum
from robustlr.schedules.loss_rise import has_risen, standardised
from robustlr.schedules.minimum_test import Verdict, judge


def whole_test(losses: Sequence[float], *, lengthscale: float, votes: int) -> Verdict | None:
    """The verdict where both checks hold."""
    verdict, y = judge(losses, lengthscale=lengthscale, votes=votes), standardised(losses)
    if y is None:
        return None
    spectrum = Spectrum.of((np.arange(len(y)) + 0.5) / len(y), lengthscale)
    noise, curve = spectrum.objective(y, [LOG_RATIO_BOUNDS[1], spectrum.fit(y).log_ratio])
    return verdict if noise - curve > 4.0 and has_risen(y, verdict.lowest) else None
