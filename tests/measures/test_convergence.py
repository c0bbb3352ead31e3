"""Exponential fits against exact curves and a slow scalar search."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from robustlr.measures.convergence import convergence_frame, exponential_fit
from robustlr.measures.curves import flat_curves
from tests.measures.grids import exponential_curves, results, run
from tests.measures.reference_curves import exponential


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 20.0), st.floats(0.1, 5.0), st.floats(-2.0, 2.0), st.integers(8, 60))
def test_exact_curves_are_recovered(kappa: float, height: float, final: float, n: int) -> None:
    t = np.linspace(0.0, 300.0, n)
    rate = kappa / 300.0
    (fit,) = exponential_fit(t, (height * np.exp(-rate * t) + final)[None])
    assert_allclose(fit, [height, rate, final, 1.0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_noisy_curves_agree_with_a_scalar_search(seed: int) -> None:
    generator = np.random.default_rng(seed)
    t = np.sort(generator.uniform(0, 100, size=40))
    loss = 2.0 * np.exp(-t / generator.uniform(5, 60)) + 0.3 + 0.05 * generator.normal(size=40)
    (fit,) = exponential_fit(t, loss[None])
    assert_allclose(fit, exponential(t, loss), rtol=1e-4)


@pytest.mark.parametrize(
    "shape", [lambda t: -t, lambda t: -(t**2), lambda t: np.where(t < 5, 1.0, 0.0)]
)
def test_lines_and_steps_are_not_exponential(shape) -> None:  # type: ignore[no-untyped-def]
    t = np.arange(0.0, 100.0, 10.0)
    assert np.isnan(exponential_fit(t, shape(t)[None])).all()


def test_rows_say_why_there_is_no_fit() -> None:
    rows = [run("fixed", 0, seed, 0.5) for seed in range(3)] + [run("fixed", 0, 3, None)]
    curves = exponential_curves(rows)
    constant = pl.col("key") == rows[1]["key"]
    short = (pl.col("key") == rows[2]["key"]) & (pl.col("step") > 30)
    curves = curves.filter(~short).with_columns(
        pl.when(constant).then(0.7).otherwise("valid_loss").alias("valid_loss")
    )
    data = results(rows, curves)
    frame = convergence_frame(data.runs, flat_curves(data))
    assert frame["fit"].to_list() == ["ok", "constant", "too few points", "diverged"]
    assert frame["rate"].null_count() == 3
    gradients = curves.group_by("key", maintain_order=True).agg(pl.col("grad_norm").min() ** 2)
    assert_allclose(frame["min_grad_norm_squared"], gradients["grad_norm"])
