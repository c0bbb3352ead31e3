"""AdamP and LAMB against their published formulas, and errors a person can mend."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import pytorch_optimizer
import torch
from torch import Tensor, nn

from robustlr.errors import SpecError, WorkloadError
from robustlr.optimizers import build_optimizer
from robustlr.specs import SGD, Adam, AdamW, FactoryOptimizer, PytorchOptimizer
from robustlr.training import rehearse
from tests.small_study import small_spec
from tests.workloads.samples import Regression

LR = 0.1


def updated(spec: PytorchOptimizer, start: list[Any], *gradients: list[Any]) -> np.ndarray:
    """The weight after one update per gradient."""
    weight = nn.Parameter(torch.tensor(start))
    optimizer = build_optimizer(spec, [weight], LR)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    return weight.detach().double().numpy()


def moments(gradients: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected m and v of Adam after `gradients`."""
    m = v = np.zeros_like(gradients[0])
    for g in gradients:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    t = len(gradients)
    return m / (1 - 0.9**t), v / (1 - 0.999**t)


def test_lamb_first_step_by_hand() -> None:
    # m/√v of the first step is the gradient's sign (1, −1), of norm √2; the weight's norm is 5
    # and its share of the step 0.1·5/√2·(1, −1)
    step = LR * 5.0 / math.sqrt(2.0)
    result = updated(PytorchOptimizer(name="Lamb"), [3.0, 4.0], [1.0, -2.0])
    np.testing.assert_allclose(result, [3.0 - step, 4.0 + step], rtol=1e-5)


def test_adamp_projects_where_the_gradient_is_tangential() -> None:
    # sign(g) = (−1, 1) has the radial part (−0.6 + 0.8)·(0.6, 0.8), which is taken out
    result = updated(PytorchOptimizer(name="AdamP"), [[3.0, 4.0]], [[-4.0, 3.0]])
    np.testing.assert_allclose(result, [[3.0 + LR * 1.12, 4.0 - LR * 0.84]], rtol=1e-6)


def test_adamp_is_adam_where_the_gradient_is_radial() -> None:
    result = updated(PytorchOptimizer(name="AdamP"), [[3.0, 4.0]], [[3.0, 4.0]])
    np.testing.assert_allclose(result, [[3.0 - LR, 4.0 - LR]], rtol=1e-6)


def test_several_steps_of_lamb_follow_algorithm_2() -> None:
    rng = np.random.default_rng(0)
    gradients = list(rng.normal(size=(6, 5)))
    weight = start = rng.normal(size=5)
    for t in range(1, 7):
        m, v = moments(gradients[:t])
        ratio = m / np.sqrt(v)
        weight = weight - LR * np.linalg.norm(weight) / np.linalg.norm(ratio) * ratio
    as_lists = [g.tolist() for g in gradients]
    result = updated(PytorchOptimizer(name="lamb"), start.tolist(), *as_lists)
    np.testing.assert_allclose(result, weight, rtol=1e-4, atol=1e-5)


def test_several_steps_of_adamp_follow_algorithm_2() -> None:
    rng = np.random.default_rng(1)
    gradients = list(rng.normal(size=(6, 1, 7)))
    weight = start = rng.normal(size=(1, 7))
    projected = 0
    for t in range(1, 7):
        g = gradients[t - 1]
        m, v = moments(gradients[:t])
        step = m / np.sqrt(v)
        unit = weight / np.linalg.norm(weight)
        if abs((unit * g).sum()) / np.linalg.norm(g) < 0.1 / math.sqrt(7):
            step, projected = step - (unit * step).sum() * unit, projected + 1
        weight = weight - LR * step
    as_lists = [g.tolist() for g in gradients]
    result = updated(PytorchOptimizer(name="AdamP"), start.tolist(), *as_lists)
    np.testing.assert_allclose(result, weight, rtol=1e-4, atol=1e-5)


def test_torchs_own_take_their_options() -> None:
    weight = nn.Parameter(torch.zeros(2))
    sgd = build_optimizer(SGD(momentum=0.9, nesterov=True, weight_decay=0.1), [weight], LR)
    assert {k: sgd.defaults[k] for k in ("lr", "momentum", "nesterov", "weight_decay")} == {
        "lr": LR,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.1,
    }
    for spec, cls in ((Adam(beta1=0.8), torch.optim.Adam), (AdamW(beta1=0.8), torch.optim.AdamW)):
        built = build_optimizer(spec, [weight], LR)
        assert type(built) is cls
        assert built.defaults["betas"] == (0.8, 0.999)


def test_frozen_weights_are_left_out() -> None:
    frozen, free = nn.Parameter(torch.zeros(1), requires_grad=False), nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer(SGD(), [frozen, free], LR)
    assert [w is free for group in optimizer.param_groups for w in group["params"]] == [True]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("AdmP", {}, "pytorch_optimizer has no 'AdmP'; did you mean 'adamp'"),
        ("AdamP", {"dleta": 0.2}, "has no option 'dleta'; did you mean 'delta'"),
        ("AdamP", {"betas": (1.5, 0.9)}, "optimizer 'AdamP' cannot be used here: "),
        ("LBFGS", {}, "'LBFGS' needs a closure, which the loop does not give: use another"),
        ("AliG", {}, "'AliG' needs a closure, which the loop does not give: use another"),
        ("BSAM", {}, "'BSAM' needs a value for 'num_data': give it in its options$"),
        ("BSAM", {"num_data": 9}, "'BSAM' needs a closure"),
        ("AdaHessian", {}, r"'AdaHessian' needs second derivatives \(backward with create_graph"),
        ("SophiaH", {}, "'SophiaH' needs second derivatives .* use another optimizer$"),
        ("LOMO", {}, "'LOMO' needs the model itself, .* the weights alone: use another optimizer$"),
        ("AdamMini", {}, "'AdamMini' needs the model itself"),
        ("Muon", {}, "'Muon' needs parameter groups, .* use_muon .* factory = \"module:name\"$"),
    ],
)
def test_bad_optimizers_are_one_clear_line(
    name: str, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        build_optimizer(PytorchOptimizer(name=name, options=options), [weight()], LR)
    assert "\n" not in str(caught.value)


REFUSED = {
    "needs parameter groups": {
        "adago", "adamuon", "distributedmuon", "muon", "muonclip", "normuon"
    },
    "needs the model itself": {"adalomo", "adammini", "lomo"},
    "needs second derivatives": {"adahessian", "sophiah"},
    "needs a closure": {"alig", "lbfgs"},
    "needs a value for": {"bsam", "ranger21"},
    "cannot be used here: You need to install `einops`": {"demo"},
    "only supports 2D parameters": {"spectralsphere"},
}  # fmt: skip

# the first wait for some updates, SaRA changes tiny weights alone
STILL = {"adashift", "radam", "schedulefreeradam", "sara"}


@pytest.mark.parametrize("name", sorted(pytorch_optimizer.get_supported_optimizers()))
def test_every_name_trains_or_is_refused_in_one_clear_line(name: str) -> None:
    spec = dataclasses.replace(
        small_spec(), optimizer=(PytorchOptimizer(name=name),), batch_size=(8,)
    )
    expected = [message for message, names in REFUSED.items() if name in names]
    workload = Regression()
    if expected:
        with pytest.raises(SpecError, match=expected[0]) as caught:
            rehearse(spec, spec.workload[0], workload)
        assert f"optimizer '{name}' " in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    rehearse(spec, spec.workload[0], workload)
    torch.manual_seed(0)
    model, examples = workload.model(0), workload.examples("train", 0)
    before = [weight.detach().clone() for weight in model.parameters()]
    assert {weight.ndim for weight in before} == {1, 2}  # it has a bias
    optimizer = build_optimizer(spec.optimizer[0], model.parameters(), 1e-2)
    for step in range(3):
        optimizer.zero_grad()
        batch = examples.batch(torch.arange(8 * step, 8 * step + 8))
        workload.loss(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = list(model.parameters())
    assert all(bool(weight.isfinite().all()) for weight in after)
    assert name in STILL or not all(map(torch.equal, before, after))


def muon(weights: list[Tensor], *, lr: float) -> torch.optim.Optimizer:
    """What the message of Muon advises."""
    matrices = [weight for weight in weights if weight.ndim >= 2]
    others = [weight for weight in weights if weight.ndim < 2]
    groups = [
        {"params": matrices, "lr": lr, "use_muon": True},
        {"params": others, "lr": lr / 10, "use_muon": False},
    ]
    return pytorch_optimizer.load_optimizer("muon")(groups)


def test_the_way_out_for_muon_works() -> None:
    optimizer = FactoryOptimizer(factory=f"{__name__}:muon")
    spec = dataclasses.replace(small_spec(), optimizer=(optimizer,), batch_size=(8,))
    rehearse(spec, spec.workload[0], Regression())
    built = build_optimizer(optimizer, Regression().model(0).parameters(), LR)
    assert [group["lr"] for group in built.param_groups] == [LR, LR / 10]


def test_not_installed_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(SpecError, match=r"pip install 'robustlr\[optimizers\]'"):
        build_optimizer(PytorchOptimizer(name="AdamP"), [weight()], LR)


def test_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_optimizer(PytorchOptimizer(name="SGDP"), [weight()], LR)
    assert torch.equal(torch.rand(3), expected)


def my_sgd(parameters: list[Tensor], *, lr: float, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, **options)


def no_optimizer(parameters: list[Tensor], *, lr: float) -> float:
    return lr


def test_a_factory_of_ones_own() -> None:
    spec = FactoryOptimizer(factory=f"{__name__}:my_sgd", options={"momentum": 0.5})
    assert build_optimizer(spec, [weight()], LR).defaults["momentum"] == 0.5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_optimizer", {}, "returned a float, not a torch.optim.Optimizer"),
        ("my_sgd", {"momentum": -1.0}, "raised ValueError: Invalid momentum"),
        ("missing", {}, "has no 'missing'"),
    ],
)
def test_bad_factories_are_one_clear_line(
    name: str, options: Mapping[str, Any], message: str
) -> None:
    spec = FactoryOptimizer(factory=f"{__name__}:{name}", options=options)
    with pytest.raises(WorkloadError, match=message):
        build_optimizer(spec, [weight()], LR)


def weight() -> nn.Parameter:
    return nn.Parameter(torch.ones(2, 2))
