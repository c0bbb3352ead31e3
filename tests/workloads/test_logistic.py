"""The optimum and the facts against scipy; the loop, against projected SGD written out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from robustlr.errors import SpecError
from robustlr.schedules import Polynomial
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.training.order import BatchOrder
from robustlr.workloads import build_workload
from robustlr.workloads.logistic import Logistic
from robustlr.workloads.projection import project_onto_ball


def rows_of(workload: Logistic) -> np.ndarray:
    (rows,) = workload.examples("train", 0).tensors
    return rows.numpy()


def test_the_optimum_is_scipys() -> None:
    workload = Logistic(dim=5, samples=300)
    rows = rows_of(workload)
    found = minimize(
        lambda w: np.logaddexp(0.0, -rows @ w).mean(),
        np.zeros(5),
        jac=lambda w: -(rows / (1 + np.exp(rows @ w))[:, None]).mean(axis=0),
        method="BFGS",
        options={"gtol": 1e-10},
    )
    assert workload.optimum_loss == pytest.approx(found.fun, rel=1e-10)
    np.testing.assert_allclose(workload.optimum.numpy(), found.x, rtol=1e-5)
    assert workload.domain_radius == pytest.approx(2.0 * np.linalg.norm(found.x), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    dim=st.integers(1, 12),
    extra=st.integers(1, 60),
    noise=st.floats(0.001, 0.49),
    data_seed=st.integers(0, 10**6),
)
def test_the_optimum_is_found_or_refused(
    dim: int, extra: int, noise: float, data_seed: int
) -> None:
    workload = Logistic(dim=dim, samples=dim + extra, noise=noise, data_seed=data_seed)
    rows = rows_of(workload)
    try:
        w = workload.optimum.numpy()
    except SpecError:  # separable, or nearly
        return
    gradient = -(rows / (1 + np.exp(rows @ w))[:, None]).mean(axis=0)
    assert np.linalg.norm(gradient) < 1e-11
    assert (rows @ w <= 0).any()


def test_separable_data_is_refused() -> None:
    with pytest.raises(SpecError, match="no optimum"):
        _ = Logistic(dim=20, samples=21, noise=0.01).optimum


def test_the_share_of_flipped_labels() -> None:
    workload = Logistic(dim=3, samples=20_000, noise=0.2)
    generator = torch.Generator().manual_seed(0)
    torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    truth = torch.randn(3, generator=generator, dtype=torch.float64).numpy()
    assert (rows_of(workload) @ truth < 0).mean() == pytest.approx(0.2, abs=0.01)


@torch.no_grad()
def test_every_split_is_the_objective_and_the_fresh_model_is_at_chance() -> None:
    workload = Logistic(dim=4, samples=50)
    model = workload.model(0)
    for split in ("train", "valid", "test"):
        examples = workload.examples(split, 7)
        loss, excess = workload.evaluate(model, examples, torch.arange(50))
        assert loss / 50 == pytest.approx(math.log(2))
        assert excess / 50 == pytest.approx(math.log(2) - workload.optimum_loss)
    assert workload.chance_loss == pytest.approx(math.log(2))


@torch.no_grad()
def test_labels_from_the_model_have_the_models_probabilities() -> None:
    workload = Logistic(dim=3, samples=4000, noise=0.3)
    model = workload.model(0)
    model.weight.data.copy_(workload.optimum)
    batch = workload.examples("train", 0).batch(torch.arange(4000))
    generator = torch.Generator().manual_seed(1)
    losses = [float(workload.sampled_loss(model, batch, generator)[0]) for _ in range(20)]
    # the cross-entropy of a distribution with itself is its entropy
    p = torch.sigmoid(batch[0] @ workload.optimum)
    entropy = float(-(p * p.log() + (1 - p) * (1 - p).log()).mean())
    assert np.mean(losses) == pytest.approx(entropy, rel=0.02)
    assert workload.sampled_loss(model, batch, generator)[1] == 4000


@pytest.mark.parametrize("lr_exponent", ["-1", "2"])
def test_the_loop_is_projected_sgd_written_out(lr_exponent: str) -> None:
    spec = WorkloadSpec(kind="logistic", options={"dim": 4, "samples": 60})
    cell = Cell(
        workload=spec,
        optimizer=SGD(),
        schedule=Polynomial(degree=2),
        batch_size=2,
        num_steps=80,
        lr_exponent=lr_exponent,
        seed=3,
        training=TrainingSpec(eval_every=10),
    )
    workload = build_workload(spec)
    assert isinstance(workload, Logistic)
    _, curve = train(cell, workload)

    rows, order = rows_of(workload), BatchOrder(60, 2, 3)
    w, excess = np.zeros(4), {0: math.log(2) - workload.optimum_loss}
    for step in range(80):
        batch = rows[order.batch(step).numpy()]
        gradient = -(batch / (1 + np.exp(batch @ w))[:, None]).mean(axis=0)
        w = w - cell.peak_lr * (1 - step / 80) ** 2 * gradient
        w = w * min(1.0, workload.domain_radius / max(float(np.linalg.norm(w)), 1e-300))
        excess[step + 1] = np.logaddexp(0, -rows @ w).mean() - workload.optimum_loss
    for step, metric in curve.select("step", "valid_metric").iter_rows():
        assert metric == pytest.approx(excess[step], rel=1e-7)


@pytest.mark.parametrize(
    "options",
    [{"dim": 0}, {"dim": 9, "samples": 9}, {"noise": 0.0}, {"noise": 0.5}, {"radius": 0.9}],
)
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        build_workload(WorkloadSpec(kind="logistic", options=options))


def test_projection_scales_all_weights_together() -> None:
    model = torch.nn.Linear(3, 2)
    project_onto_ball(model, 100.0)
    before = [weight.detach().clone() for weight in model.parameters()]
    project_onto_ball(model, 0.1)
    after = torch.cat([weight.flatten() for weight in model.parameters()])
    assert float(after.detach().norm()) == pytest.approx(0.1, rel=1e-5)
    together = torch.cat([weight.flatten() for weight in before])
    torch.testing.assert_close(after.detach(), together * (0.1 / together.norm()))


def test_projection_leaves_what_is_inside_and_what_is_not_finite() -> None:
    model = torch.nn.Linear(2, 1, bias=False)
    for inside in ([0.3, -0.4], [math.inf, 1.0]):
        model.weight.data.copy_(torch.tensor([inside]))
        project_onto_ball(model, 0.6)
        assert model.weight.tolist() == [pytest.approx(inside)]
