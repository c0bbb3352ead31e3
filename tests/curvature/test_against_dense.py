"""Every estimator against the matrix written down whole: unbiased, signed, diagonal too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from robustlr.curvature import (
    CurvatureEstimate,
    Estimator,
    FiniteDifference,
    GaussNewton,
    Hutchinson,
)
from tests.curvature.problems import (
    CASES,
    DRAWS,
    LABEL_DRAWS,
    Case,
    dense_gauss_newton,
    dense_hessian,
    flat,
    mlp,
    quadratic,
    z_scores,
)


def _assert_unbiased(z: tuple[float, float, float], entries: int) -> None:
    trace, projection, worst = z
    assert abs(trace) < 3.0
    assert abs(projection) < 3.0
    # The largest of n normal draws: 3 is rare for one, ordinary for a thousand.
    assert worst < 3.0 + (2.0 * torch.log(torch.tensor(float(entries)))).sqrt()


@pytest.mark.parametrize(
    ("name", "probes"), [*((name, 1) for name in CASES), ("mlp", 3), ("transformer", 3)]
)
def test_hutchinson_is_unbiased_for_the_hessian(name: str, probes: int) -> None:
    case = CASES[name]()
    hessian = dense_hessian(case)
    z = z_scores(case, Hutchinson(probes=probes), hessian, DRAWS[name] // probes)
    _assert_unbiased(z, len(hessian))


@pytest.mark.parametrize("name", CASES)
def test_finite_difference_is_unbiased_for_the_hessian(name: str) -> None:
    case = CASES[name]()
    hessian = dense_hessian(case)
    z = z_scores(case, FiniteDifference(distance=1e-6), hessian, DRAWS[name])
    _assert_unbiased(z, len(hessian))


@pytest.mark.parametrize(("name", "probes"), [*((name, 1) for name in LABEL_DRAWS), ("mlp", 3)])
def test_gauss_newton_is_unbiased_for_the_gauss_newton_matrix(name: str, probes: int) -> None:
    case = CASES[name]()
    matrix = dense_gauss_newton(case)
    z = z_scores(case, GaussNewton(probes=probes), matrix, LABEL_DRAWS[name] // probes)
    _assert_unbiased(z, len(matrix))


def test_gauss_newton_is_unbiased_for_the_hessian_of_logistic_regression() -> None:
    """The two matrices are one where the model is linear, so its closed form is the truth."""
    case = CASES["logistic"]()

    def sample(
        model: torch.nn.Module, batch: Any, generator: torch.Generator
    ) -> tuple[torch.Tensor, int]:
        logits = model(batch[0])[:, 0]
        labels = torch.bernoulli(logits.detach().sigmoid(), generator=generator)
        return functional.binary_cross_entropy_with_logits(logits, labels), len(labels)

    case.sample_loss_fn = sample  # type: ignore[method-assign]
    closed = logistic_hessian(case)
    _assert_unbiased(z_scores(case, GaussNewton(), closed, 3000), len(closed))


def test_the_draws_are_enough_to_tell_two_matrices_apart() -> None:
    case = CASES["conv_net"]()
    trace, _, _ = z_scores(case, GaussNewton(), dense_hessian(case), 300)
    assert abs(trace) > 5.0


def logistic_hessian(case: Case) -> torch.Tensor:
    """Σ p(1 − p)xxᵀ/N."""
    x, _ = case.batch
    p = case.model(x).detach().sigmoid()
    inputs = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)  # weight, then bias
    return (inputs * (p * (1 - p))).T @ inputs / len(x)


def test_the_dense_hessian_of_logistic_regression_is_the_closed_form() -> None:
    case = CASES["logistic"]()
    torch.testing.assert_close(dense_hessian(case), logistic_hessian(case))


def test_a_quadratic_has_a_negative_trace_and_keeps_its_sign() -> None:
    case = quadratic()
    truth = float(case.model.a.trace())
    assert truth < 0.0
    estimate = _estimate(case, Hutchinson(probes=2000))
    assert estimate.trace == pytest.approx(truth, abs=1.0)


def test_a_probe_is_exact_where_the_hessian_is_diagonal() -> None:
    model = torch.nn.Linear(3, 1, bias=False).double()
    scales = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)
    case = Case(model, torch.zeros(2, 3), lambda m, _: (scales * m.weight**2).sum() / 2)
    estimate = _estimate(case, Hutchinson())
    torch.testing.assert_close(flat(estimate.diagonal), scales)
    assert estimate.trace == pytest.approx(3.0)
    assert estimate.extremes == pytest.approx((3 * -2.0, 3 * 4.0))


def test_finite_difference_in_float32_is_within_a_percent() -> None:
    case = mlp()
    truth = float(dense_hessian(case).trace())
    exact = _estimate(case, Hutchinson(probes=50)).trace
    single = Case(case.model.float(), (case.batch[0].float(), case.batch[1]), case.loss_fn)
    near = _estimate(single, FiniteDifference(probes=50)).trace
    assert near == pytest.approx(exact, rel=0.01)  # the same probes: only ε and rounding differ
    assert exact == pytest.approx(truth, rel=0.5)


def _estimate(case: Case, estimator: Estimator) -> CurvatureEstimate:
    return estimator.estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(0)),
        loss_fn=case.loss_fn,
        sample_loss_fn=case.sample_loss_fn,
    )
