"""What would fail every cell is found before any runs, in one line."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from torch import Tensor, nn

from robustlr.errors import DataError, RobustlrError, SpecError, WorkloadError
from robustlr.schedules import parse
from robustlr.specs import FactoryOptimizer, ShardingSpec, StudySpec, TrainingSpec
from robustlr.training import rehearse
from robustlr.workloads import Batch, Examples, Workload
from tests.small_study import small_spec
from tests.training.models import ConvDigits
from tests.workloads.samples import BornDead, Damaged, Regression, WithLoss, WithoutExamples

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


class Evaluating(Regression):
    """Evaluation that returns one number."""

    def evaluate(  # type: ignore[override]
        self, model: nn.Module, examples: Examples, indices: Tensor
    ) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("workload", "kind", "message"),
    [
        (WithLoss(with_another_model), WorkloadError, "does not depend on any weight of its model"),
        (WithLoss(detached), WorkloadError, "it has no graph"),
        (WithLoss(of_every_example), WorkloadError, r"a scalar tensor, .* got shape \[8\]"),
        (WithLoss(of_wrong_shapes), WorkloadError, "raised RuntimeError: mat1 and mat2"),
        (BornDead(), WorkloadError, "the fresh model's loss on the first batch is nan"),
        (Damaged(), DataError, "train split: tensor 0 .* not finite"),
        (WithoutExamples(), DataError, "valid split: has no examples"),
        (Regression(size=7), SpecError, "batch_size 8 is larger than the 7 training examples"),
        (Evaluating(), WorkloadError, "evaluate must return two numbers, .* got float"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_clear_line(workload: Workload, kind: type[RobustlrError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        rehearsed(workload)
    assert "\n" not in str(caught.value)


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
