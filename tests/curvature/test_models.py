"""What models do: fused attention, checkpoints, compilers, tied and frozen weights, autocast."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustlr.curvature import (
    CurvatureEstimate,
    Estimator,
    FiniteDifference,
    GaussNewton,
    Hutchinson,
    SquaredGradient,
)
from tests.curvature.problems import Case, dense_hessian, mlp, transformer

SECOND_ORDER = [Hutchinson(probes=4), FiniteDifference(probes=4, distance=1e-6)]
BATCHED = [*SECOND_ORDER, GaussNewton(probes=2)]


def by_name(estimator: Estimator) -> str:
    return estimator.name


def estimate(case: Case, estimator: Estimator, seed: int = 0) -> CurvatureEstimate:
    return estimator.estimate(
        *(case.model, case.batch, torch.Generator().manual_seed(seed)),
        loss_fn=case.loss_fn,
        sample_loss_fn=case.sample_loss_fn if case.logits_fn else None,
    )


@pytest.mark.parametrize("estimator", BATCHED, ids=by_name)
def test_checkpoints_change_nothing(estimator: Estimator) -> None:
    case = transformer()
    plain = estimate(case, estimator).trace
    case.model.checkpointed = False
    assert estimate(case, estimator).trace == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("estimator", BATCHED, ids=by_name)
def test_frozen_parameters_are_no_part_of_the_trace(estimator: Estimator) -> None:
    case = mlp()
    case.model[0].requires_grad_(False)
    found = estimate(case, estimator)
    assert sorted(found.diagonal) == ["2.bias", "2.weight", "4.bias", "4.weight"]
    if isinstance(estimator, Hutchinson):
        truth = dense_hessian(case)
        many = estimate(case, Hutchinson(probes=300)).trace
        assert many == pytest.approx(float(truth.trace()), rel=0.1)


@pytest.mark.parametrize("estimator", BATCHED, ids=by_name)
def test_tied_parameters_count_once(estimator: Estimator) -> None:
    found = estimate(transformer(), estimator)
    assert "embedding.weight" in found.diagonal
    assert "head.weight" not in found.diagonal


@pytest.mark.parametrize("estimator", BATCHED, ids=by_name)
def test_unused_parameters_are_left_out(estimator: Estimator) -> None:
    case = mlp()
    before = estimate(case, GaussNewton()).trace
    case.model.register_module("unused", nn.Linear(2, 2).double())
    case.loss_fn = lambda m, batch: functional.cross_entropy(m[:5](batch[0]), batch[1])
    case.logits_fn = lambda m, batch: m[:5](batch[0])
    found = estimate(case, estimator)
    assert not any(name.startswith("unused") for name in found.diagonal)
    if isinstance(estimator, GaussNewton):
        assert estimate(case, GaussNewton()).trace == pytest.approx(before)


def test_hutchinson_sees_through_fused_attention() -> None:
    case = transformer()
    truth = float(dense_hessian(case).trace())
    assert estimate(case, Hutchinson(probes=400)).trace == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("estimator", [FiniteDifference(), GaussNewton()], ids=by_name)
@pytest.mark.parametrize("name", ["bfloat16"])
def test_autocast_stays_within_a_few_percent(estimator: Estimator, name: str) -> None:
    case = _single(mlp(examples=64))
    exact = estimate(case, type(estimator)(probes=40)).trace
    autocast = Case(case.model, case.batch, _under_autocast(case.loss_fn), case.logits_fn)
    autocast.logits_fn = _under_autocast(case.logits_fn)
    near = estimate(autocast, type(estimator)(probes=40)).trace
    assert near == pytest.approx(exact, rel=0.2)


def test_hutchinson_under_autocast() -> None:
    case = _single(mlp(examples=64))
    exact = estimate(case, Hutchinson(probes=40)).trace
    autocast = Case(case.model, case.batch, _under_autocast(case.loss_fn))
    assert estimate(autocast, Hutchinson(probes=40)).trace == pytest.approx(exact, rel=0.05)


def test_a_loss_scale_divides_out() -> None:
    case = mlp()
    for estimator in BATCHED:
        plain = estimate(case, estimator).trace
        scaled = estimator.estimate(
            *(case.model, case.batch, torch.Generator().manual_seed(0)),
            loss_fn=case.loss_fn,
            sample_loss_fn=case.sample_loss_fn,
            loss_scale=1024.0,
        )
        assert scaled.trace == pytest.approx(plain, rel=1e-6)


def test_squared_gradient_is_the_norm_of_the_steps_gradient() -> None:
    case = mlp()
    (case.loss_fn(case.model, case.batch) * 8.0).backward()
    found = SquaredGradient().estimate(
        *(case.model, case.batch, torch.Generator()), loss_fn=case.loss_fn, loss_scale=8.0
    )
    norm = sum(float((p.grad / 8.0).square().sum()) for p in case.model.parameters())
    assert found.trace == pytest.approx(norm)
    assert found.cost == 0.0


def test_cost_counts_the_examples_of_the_sub_batch() -> None:
    case = mlp(examples=16)
    assert estimate(case, Hutchinson(probes=2)).cost == 16 * 7.0
    assert estimate(case, GaussNewton(probes=2)).cost == 16 * 2.0
    assert estimate(case, FiniteDifference(probes=2)).cost == 16 * 3.0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="torch.compile is tried on Linux alone")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, in the compiler
@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiled_models_give_what_the_original_gives(backend: str) -> None:
    case = mlp()
    names = {estimator.name: estimate(case, estimator) for estimator in BATCHED}
    compiled = Case(
        torch.compile(case.model, backend=backend), case.batch, case.loss_fn, case.logits_fn
    )
    for estimator in BATCHED:
        found = estimate(compiled, estimator)
        assert found.trace == pytest.approx(names[estimator.name].trace, rel=1e-6)
        assert found.diagonal.keys() == names[estimator.name].diagonal.keys()


def _single(case: Case) -> Case:
    inputs, labels = case.batch
    return Case(case.model.float(), (inputs.float(), labels), case.loss_fn, case.logits_fn)


def _under_autocast(fn: Callable[[nn.Module, Any], Tensor] | None) -> Callable[..., Tensor]:
    assert fn is not None

    def run(model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return fn(model, batch).float()

    return run
