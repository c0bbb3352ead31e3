"""The root with few columns is a root."""

from __future__ import annotations

import numpy as np
import pytest

from robustlr.gp import correlation
from robustlr.gp.correlation import correlation_root
from tests.gp.samples import FloatArray, even, uneven


@pytest.mark.parametrize("lengthscale", [0.01, 0.2, 2.0])
@pytest.mark.parametrize("x", [even(1), even(8), even(256), uneven(90), np.repeat(even(10), 4)])
def test_the_root_is_whole_up_to_rounding(x: FloatArray, lengthscale: float) -> None:
    root = correlation_root(x, lengthscale)
    assert root.shape[1] <= len(np.unique(x))
    assert root.shape[1] < 30 or lengthscale == 0.01
    np.testing.assert_allclose(root @ root.T, correlation(x, x, lengthscale), atol=1e-13)
