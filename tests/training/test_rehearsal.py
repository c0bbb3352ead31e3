"""What would fail every cell is found before any runs, in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustlr.curvature import Hutchinson
from robustlr.errors import DataError, RobustlrError, SpecError, WorkloadError
from robustlr.schedules import parse
from robustlr.specs import (
    SGD,
    AdamW,
    FactoryOptimizer,
    PytorchOptimizer,
    ShardingSpec,
    StudySpec,
    TrainingSpec,
)
from robustlr.training import rehearse
from robustlr.workloads import Batch, Examples, Request, Split, TensorExamples, Workload
from tests.small_study import small_spec
from tests.training.models import ConvDigits
from tests.workloads.samples import (
    BornDead,
    Damaged,
    GivesUp,
    Regression,
    WithLoss,
    WithoutExamples,
)

ELSEWHERE = nn.Linear(3, 1)


def spec_of(**changes: Any) -> StudySpec:
    return dataclasses.replace(small_spec(), batch_size=(8,), **changes)


def rehearsed(workload: Workload, **changes: Any) -> None:
    spec = spec_of(**changes)
    rehearse(spec, spec.workload[0], workload)


def with_another_model(model: nn.Module, batch: Batch) -> Tensor:
    return (ELSEWHERE(batch[0]).squeeze(-1) - batch[1]).square().mean()


def detached(model: nn.Module, batch: Batch) -> Tensor:
    return (model(batch[0]).squeeze(-1) - batch[1]).square().mean().detach()


def of_every_example(model: nn.Module, batch: Batch) -> Tensor:
    return (model(batch[0]).squeeze(-1) - batch[1]).square()


def of_wrong_shapes(model: nn.Module, batch: Batch) -> Tensor:
    return model(batch[0][:, :2]).sum()


class Mistaken(Regression):
    """A workload with a silent mistake, which it knows how to look for."""

    def inspect(self, model: nn.Module, batch: Batch) -> None:
        assert not model.training
        assert not torch.is_grad_enabled()
        raise WorkloadError(f"of {len(batch[0])} examples, all are wrong")


class Evaluating(Regression):
    """Evaluation that returns one number."""

    def evaluate(  # type: ignore[override]
        self, model: nn.Module, examples: Examples, indices: Tensor
    ) -> float:
        return 0.5


class NoModel(Regression):
    def model(self, seed: int) -> nn.Module:
        return None  # type: ignore[return-value]


class NoWeights(Regression):
    def model(self, seed: int) -> nn.Module:
        return nn.Flatten()


class NoExamples(Regression):
    def examples(self, split: Split, seed: int) -> TensorExamples:
        return None  # type: ignore[return-value]


class ListExamples(Regression):
    def examples(self, split: Split, seed: int) -> TensorExamples:
        return [torch.zeros(3), torch.zeros(1)]  # type: ignore[return-value]


def rounded(model: nn.Module, batch: Batch) -> Tensor:
    return (model(batch[0]).squeeze(-1) > batch[1]).float().sum() + 0 * model(batch[0]).sum()


class Lazy:
    """Examples that are loaded as they are asked for, one of which is damaged."""

    def __init__(self, bad: int, length: int = 4000) -> None:
        self.bad, self.length = bad, length
        self.loaded: list[int] = []
        self.whole = Regression(size=length).examples("train", 0)

    def __len__(self) -> int:
        return self.length

    def batch(self, indices: Tensor) -> Batch:
        self.loaded += indices.tolist()
        if self.bad in indices:
            raise DataError(f"example {self.bad} is damaged")
        return self.whole.batch(indices)

    def to(self, device: torch.device) -> Lazy:
        return self

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        for request in requests:
            yield self.batch(request.indices)


class OnDisk(Regression):
    def __init__(self, **lazy: Lazy) -> None:
        super().__init__()
        self.lazy = lazy

    def examples(self, split: Split, seed: int) -> TensorExamples:
        return self.lazy.get(split) or super().examples(split, seed)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("workload", "kind", "message"),
    [
        (NoModel(), WorkloadError, r"model\(seed\) must return a torch.nn.Module, got NoneType"),
        (NoWeights(), WorkloadError, "its model, a Flatten, has no weights to train"),
        (NoExamples(), WorkloadError, r"train split: examples must have len\(\), .*NoneType"),
        (ListExamples(), WorkloadError, "got list without batch"),
        (WithLoss(rounded), WorkloadError, "the gradient of its loss .* is zero for every weight"),
        (WithLoss(with_another_model), WorkloadError, "does not depend on any weight of its model"),
        (WithLoss(detached), WorkloadError, "it has no graph"),
        (WithLoss(of_every_example), WorkloadError, r"a scalar tensor, .* got shape \[8\]"),
        (WithLoss(of_wrong_shapes), WorkloadError, "raised RuntimeError: mat1 and mat2"),
        (BornDead(), WorkloadError, "the fresh model's loss on the first batch is nan"),
        (Damaged(), DataError, "train split: tensor 0 .* not finite"),
        (WithoutExamples(), DataError, "valid split: has no examples"),
        (Regression(size=7), SpecError, "batch_size 8 is larger than the 7 training examples"),
        (GivesUp(), WorkloadError, "raised SystemExit: 0"),
        (Mistaken(), WorkloadError, "of 8 examples, all are wrong"),
        (Evaluating(), WorkloadError, "evaluate must return two numbers, .* got float"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_clear_line(workload: Workload, kind: type[RobustlrError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        rehearsed(workload)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("workload 'logistic'") == 1


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_examples_that_are_loaded_are_looked_at_before_any_cell(split: str) -> None:
    with pytest.raises(DataError, match=r"^workload 'logistic'.* example 40 is damaged"):
        rehearsed(OnDisk(**{split: Lazy(bad=40)}))


def test_of_many_examples_a_thousand_are_looked_at_from_end_to_end() -> None:
    some = Lazy(bad=-1)
    rehearsed(OnDisk(valid=some))
    looked_at = some.loaded[8:]  # the first were evaluated
    assert looked_at == list(range(0, 4000, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": TrainingSpec(gradient_checkpointing=True)}, r"\(Linear\) has no `blocks`"),
        ({"schedule": (parse("curvature_adaptive:estimator=gauss_newton"),)}, "labels drawn from"),
        ({"optimizer": (FactoryOptimizer(factory="builtins:dict"),)}, "'builtins:dict' raised"),
    ],
    ids=["gradient_checkpointing", "gauss_newton", "optimizer"],
)
def test_options_that_this_model_cannot_have(changes: dict[str, Any], message: str) -> None:
    if "schedule" in changes:
        changes["report"] = dataclasses.replace(
            small_spec().report, baseline=changes["schedule"][0].label
        )
    with pytest.raises(WorkloadError, match=message):
        rehearsed(Regression(), **changes)


def test_the_largest_of_several_batches_must_fit() -> None:
    spec = dataclasses.replace(small_spec(), batch_size=(8, 33))
    with pytest.raises(SpecError, match="33 is larger than the 32"):
        rehearse(spec, spec.workload[0], Regression())


@pytest.mark.parametrize(
    "training",
    [
        TrainingSpec(),
        TrainingSpec(precision="bf16", accumulation_steps=2, compile=True, ema_decay=0.9),
        TrainingSpec(gradient_checkpointing=True, channels_last=True),
        TrainingSpec(processes_per_cell=2),
        TrainingSpec(processes_per_cell=2, accelerate_config=ShardingSpec()),
    ],
    ids=["plain", "bf16", "memory", "DDP", "FSDP"],
)
def test_what_works_is_passed(training: TrainingSpec) -> None:
    rehearsed(ConvDigits(), training=training)


class PartlyUsed(Regression):
    """A model with layers that its loss does not need."""

    def __init__(self, *, frozen: bool = False) -> None:
        super().__init__()
        self.frozen = frozen

    def model(self, seed: int) -> nn.Module:
        model = super().model(seed)
        model.spare = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
        model.spare.requires_grad_(not self.frozen)
        return model


def test_weights_that_several_processes_would_wait_for() -> None:
    two = TrainingSpec(processes_per_cell=2)
    shown = r"depend on spare.0.weight, spare.0.bias, spare.1.weight and others of its model"
    with pytest.raises(WorkloadError, match=rf"{shown}.*processes_per_cell = 1$"):
        rehearsed(PartlyUsed(), training=two)
    rehearsed(PartlyUsed(frozen=True), training=two)
    rehearsed(PartlyUsed())


class Normalised(Regression):
    """BatchNorm cannot bear one example."""

    def model(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(self.dim), nn.Linear(self.dim, 1))


def with_schedules(*names: str, **changes: Any) -> StudySpec:
    schedules = tuple(parse(name) for name in names)
    report = dataclasses.replace(small_spec().report, baseline=schedules[0].label)
    return spec_of(schedule=schedules, report=report, **changes)


@pytest.mark.parametrize("sizes", [(8,), (32, 8)], ids=str)
def test_the_curvature_is_estimated_on_the_share_that_a_cell_would_use(
    sizes: tuple[int, ...],
) -> None:
    spec = dataclasses.replace(with_schedules("curvature_adaptive"), batch_size=sizes)
    with pytest.raises(WorkloadError, match=r"more than one example .* raise batch_fraction"):
        rehearse(spec, spec.workload[0], Normalised())
    for option in ("batch_fraction=0.25", "estimator=squared_gradient"):
        fitting = with_schedules(f"curvature_adaptive:{option}")
        spec = dataclasses.replace(fitting, batch_size=sizes)
        rehearse(spec, spec.workload[0], Normalised())


def test_every_request_is_made_once_as_a_schedule_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int, bool]] = []
    estimate = Hutchinson.estimate

    def noted(self: Hutchinson, model: nn.Module, batch: Batch, *rest: Any, **options: Any) -> Any:
        made.append((self.probes, len(batch[0]), options["diagonal"]))
        return estimate(self, model, batch, *rest, **options)

    monkeypatch.setattr(Hutchinson, "estimate", noted)
    spec = with_schedules(
        "curvature_adaptive:every=5",
        "curvature_adaptive:every=7",
        "curvature_adaptive:probes=3,batch_fraction=0.5",
    )
    rehearse(spec, spec.workload[0], Regression())
    assert made == [
        (request.probes, size, request.extremes)
        for request, size in zip(
            [spec.schedule[i].curvature_request for i in (0, 2)], (1, 4), strict=True
        )
        if request is not None
    ]


def test_of_a_sharded_model_few_examples_but_the_share_of_the_whole_batch() -> None:
    sharded = TrainingSpec(processes_per_cell=2, accelerate_config=ShardingSpec())
    spec = with_schedules("curvature_adaptive:estimator=finite_difference", training=sharded)
    spec = dataclasses.replace(spec, batch_size=(32,))
    rehearse(spec, spec.workload[0], Normalised())  # two of sixteen; of the first eight, one


@pytest.mark.parametrize("sharded", [False, True])
def test_an_optimizer_that_cannot_update_the_model_is_found(sharded: bool) -> None:
    options = {"processes_per_cell": 2, "accelerate_config": ShardingSpec()} if sharded else {}
    with pytest.raises(SpecError, match="only supports 2D parameters") as caught:
        rehearsed(
            Regression(),
            optimizer=(SGD(), PytorchOptimizer(name="SpectralSphere"), AdamW()),
            training=TrainingSpec(**options),  # type: ignore[arg-type]
        )
    said = str(caught.value)
    assert said.startswith("workload 'logistic': optimizer 'SpectralSphere' cannot update this mo")
    assert 'factory = "module:name"' in said
    assert "\n" not in said


SEEN: list[list[Tensor]] = []


class Looking(torch.optim.SGD):
    """Notes the weights and the gradients that it is given, and spoils both."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        weights = self.param_groups[0]["params"]
        SEEN.append([t.detach().clone() for w in weights for t in (w, w.grad)])
        for weight in weights:
            weight.data.fill_(float("nan"))
            weight.grad.fill_(float("nan"))


def test_every_optimizer_updates_the_fresh_model_with_its_own_gradient() -> None:
    SEEN.clear()
    looking = [
        FactoryOptimizer(factory=f"{__name__}:Looking", label=label) for label in ("a", "b", "c")
    ]
    rehearsed(Regression(), optimizer=tuple(looking))
    first, *others = SEEN
    assert all(bool(tensor.any()) for tensor in first)
    assert len(others) == 2
    for other in others:
        assert all(map(torch.equal, first, other))
