"""Two ranks against one process on the union of their data, and against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from robustlr.curvature import (
    CurvatureEstimate,
    Estimator,
    FiniteDifference,
    GaussNewton,
    Hutchinson,
    SquaredGradient,
    probe_generator,
)
from robustlr.curvature.base import Reduce, identity
from robustlr.errors import WorkloadError
from tests.curvature.problems import Case, dense_gauss_newton, dense_hessian, mlp
from tests.curvature.two_ranks import RANKS, mean_over_ranks, on_two_ranks

DRAWS = 120
REPLICATED = [Hutchinson(), GaussNewton(), FiniteDifference(distance=1e-6)]
SHARDED = [GaussNewton(), FiniteDifference(distance=1e-6)]


def share(case: Case, rank: int) -> Any:
    """This rank's half of the batch."""
    return tuple(part.chunk(RANKS)[rank] for part in case.batch)


def estimate(
    case: Case,
    estimator: Estimator,
    batch: Any,
    step: int,
    rank: int,
    reduce: Reduce,
    diagonal: bool = True,
) -> CurvatureEstimate:
    return estimator.estimate(
        *(case.model, batch, probe_generator(0, step, rank)),
        loss_fn=case.loss_fn,
        sample_loss_fn=case.sample_loss_fn,
        reduce=reduce,
        diagonal=diagonal,
    )


def replicated(rank: int) -> dict[str, Any]:
    """Traces of many estimates by estimator, and the rank's own first diagonal."""
    case = mlp()
    wrapped = DistributedDataParallel(case.model)  # its hooks are on the parameters from now on
    out: dict[str, Any] = {}
    try:
        estimate(
            Case(wrapped, case.batch, case.loss_fn), Hutchinson(), case.batch, 0, rank, identity
        )
    except WorkloadError as error:
        out["refusal"] = str(error)
    for estimator in REPLICATED:
        found = [
            estimate(case, estimator, share(case, rank), step, rank, mean_over_ranks)
            for step in range(DRAWS)
        ]
        out[estimator.name] = [[e.trace, *e.extremes] for e in found]
        out[f"{estimator.name} diagonal"] = dict(found[0].diagonal)
        alone = estimate(case, estimator, share(case, rank), 0, rank, mean_over_ranks, False)
        out[f"{estimator.name} trace"] = alone.trace
    return out


@pytest.mark.slow
def test_replicas_agree_and_estimate_the_union(tmp_path: Path) -> None:
    first, second = on_two_ranks(replicated, tmp_path)
    assert "pass model.module instead of DDP's wrapper" in first["refusal"]
    case = mlp()
    truth = {
        "hutchinson": float(dense_hessian(case).trace()),
        "finite_difference": float(dense_hessian(case).trace()),
        "gauss_newton": float(dense_gauss_newton(case).trace()),
    }
    for estimator in REPLICATED:
        name = estimator.name
        assert first[name] == second[name]  # to the bit
        assert first[f"{name} trace"] == second[f"{name} trace"]
        assert first[f"{name} trace"] == pytest.approx(first[name][0][0], rel=1e-9)
        ours, theirs = first[f"{name} diagonal"], second[f"{name} diagonal"]
        assert not torch.equal(ours["0.weight"], theirs["0.weight"])  # independent probes
        both = torch.stack([sum(d.sum() for d in h.values()) for h in (ours, theirs)])
        assert first[name][0][0] == pytest.approx(float(both.mean()))
        traces = torch.tensor(first[name], dtype=torch.float64)[:, 0]
        z = (traces.mean() - truth[name]) / (traces.std() / DRAWS**0.5)
        assert abs(float(z)) < 3.0


def sharded(rank: int) -> dict[str, Any]:
    """Traces under FSDP2, whether weights and gradients were left alone, and the refusal."""
    case = mlp()
    for layer in (*case.model, case.model):
        if list(layer.parameters()):
            fully_shard(layer)
    weights = [p.full_tensor().clone() for p in case.model.parameters()]
    out: dict[str, Any] = {}
    for estimator in SHARDED:
        found = [
            estimate(case, estimator, share(case, rank), step, rank, mean_over_ranks)
            for step in range(DRAWS if estimator.name == "gauss_newton" else 3)
        ]
        out[estimator.name] = [[e.trace, *e.extremes] for e in found]
        alone = estimate(case, estimator, share(case, rank), 0, rank, mean_over_ranks, False)
        out[f"{estimator.name} trace"] = alone.trace
    out["untouched"] = all(
        torch.equal(p.full_tensor(), w) and p.grad is None
        for p, w in zip(case.model.parameters(), weights, strict=True)
    )
    try:
        estimate(case, Hutchinson(), share(case, rank), 0, rank, mean_over_ranks)
    except WorkloadError as error:
        out["refusal"] = str(error)
    return out


def gathered(rank: int) -> dict[str, list[float]]:
    """Traces and the loss afterwards, by what left whole weights behind before the estimate."""
    found: dict[str, list[float]] = {}
    for how in ("nothing", "evaluation", "backward"):
        case, batch = mlp(), share(mlp(), rank)
        for part in (case.model[0], case.model):
            fully_shard(part, reshard_after_forward=how != "backward")
        case.model.set_reshard_after_backward(how != "backward")  # type: ignore[operator]
        case.loss_fn(case.model, batch).backward()
        if how == "evaluation":
            with torch.no_grad():
                case.model(batch[0])
        found[how] = [
            estimate(case, estimator, batch, 0, rank, mean_over_ranks, False).trace
            for estimator in (FiniteDifference(probes=2), GaussNewton(probes=2), SquaredGradient())
        ]
        with torch.no_grad():
            found[how].append(float(case.loss_fn(case.model, batch)))
    return found


@pytest.mark.slow
def test_whole_weights_left_behind_by_a_pass_do_no_harm(tmp_path: Path) -> None:
    for found in on_two_ranks(gathered, tmp_path):
        assert found["evaluation"] == found["backward"] == found["nothing"]
        assert all(found["nothing"])


def held_back(rank: int) -> str:
    """What is said of an estimate before FSDP has reduced the gradient of an update."""
    case = mlp()
    fully_shard(case.model)
    case.model.set_requires_gradient_sync(False)  # type: ignore[operator]
    case.loss_fn(case.model, share(case, rank)).backward()
    with pytest.raises(WorkloadError) as caught:
        estimate(case, GaussNewton(), share(case, rank), 0, rank, mean_over_ranks)
    return str(caught.value)


@pytest.mark.slow
def test_before_the_last_micro_batch_shards_have_no_gradient(tmp_path: Path) -> None:
    for said in on_two_ranks(held_back, tmp_path):
        assert "estimate after the last backward alone" in said


@pytest.mark.slow
def test_shards_agree_and_equal_one_process(tmp_path: Path) -> None:
    first, second = on_two_ranks(sharded, tmp_path)
    case = mlp()
    for estimator in SHARDED:
        assert first[estimator.name] == second[estimator.name]
        alone = first[f"{estimator.name} trace"]
        assert alone == second[f"{estimator.name} trace"]
        assert alone == pytest.approx(first[estimator.name][0][0], rel=1e-9)
    assert first["untouched"]
    assert second["untouched"]
    assert "'gauss_newton' or 'finite_difference'" in first["refusal"]

    # FSDP averages gradients and deals out the first rank's probe: the same estimate as one
    # process on the union, not only in expectation.
    for step, (trace, low, high) in enumerate(first["finite_difference"]):
        alone = estimate(case, SHARDED[1], case.batch, step, 0, identity)
        assert trace == pytest.approx(alone.trace, rel=1e-4)
        assert (low, high) == pytest.approx(alone.extremes, rel=1e-4)

    truth = float(dense_gauss_newton(case).trace())
    traces = torch.tensor(first["gauss_newton"], dtype=torch.float64)[:, 0]
    z = (traces.mean() - truth) / (traces.std() / DRAWS**0.5)
    assert abs(float(z)) < 3.0
