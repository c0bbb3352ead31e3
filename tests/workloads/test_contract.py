"""What every workload owes the training loop; a registered kind joins by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from polars.testing import assert_frame_equal
from torch import Tensor, nn

import robustlr
from robustlr.errors import CellStoppedError
from robustlr.records import RunStatus
from robustlr.schedules import Fixed
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import Checkpoints, train
from robustlr.workloads import Split, Workload, build_workload, workload_names
from tests.training.interrupted import stop_within, without_time
from tests.workloads.datasets_on_disk import write_cifar10, write_cifar100, write_imagefolder
from tests.workloads.texts_on_disk import write_wikitext

SMALL: dict[str, dict[str, object]] = {
    "absolute_regression": {"dim": 5, "samples": 256},
    "digits_mlp": {"hidden": [16]},
    "logistic": {"dim": 5, "samples": 200},
    "text_bytes": {
        "path": str(Path(robustlr.__file__).parent / "schedules" / "*.py"),
        "context": 8,
        "layers": 1,
        "width": 16,
        "heads": 2,
        "evaluation_windows": 20,
    },
}
SMALL_RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
ON_DISK: dict[str, Callable[[Path], dict[str, object]]] = {
    "cifar10": lambda folder: {
        "path": str(write_cifar10(folder, train=150, test=40)),
        "network": "wrn-10-1", "size": 8, "padding": 1, "valid_share": 0.3,
    },
    "hf_causal_lm": lambda folder: {
        "path": str(write_wikitext(folder)), "subset": "wikitext-103-raw-v1", "context": 8,
        "architecture": "llama", "overrides": {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 270,
            "num_attention_heads": 2, "num_key_value_heads": 2,
        },
    },
    "wikitext103": lambda folder: {
        "path": str(write_wikitext(folder)), "vocabulary_size": 270, "evaluation_windows": 30,
        "n_layer": 1, "n_embd": 16, "n_head": 2, "context": 8, "dropout": 0.0,
    },
    "cifar100": lambda folder: {
        "path": str(write_cifar100(folder, train=400, test=100)),
        "network": "wrn-10-1", "size": 4, "padding": 1, "valid_share": 0.25,
    },
    "hf_image_classification": lambda folder: {
        "path": str(write_imagefolder(folder, splits={"train": 20, "test": 6})),
        "classes": 3, "size": 8, "padding": 1, "architecture_options": SMALL_RESNET,
    },
    "imagenet": lambda folder: {
        "path": str(write_imagefolder(folder)), "classes": 3, "valid_share": 0.25, "size": 16,
        "network_options": SMALL_RESNET,
    },
}  # fmt: skip
OWN = "a user's own"
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@pytest.fixture(scope="session", params=[*workload_names(), OWN])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> WorkloadSpec:
    kind: str = request.param
    if kind == OWN:
        return WorkloadSpec(factory="tests.workloads.samples:Regression")
    if kind in ON_DISK:
        return WorkloadSpec(kind=kind, options=ON_DISK[kind](tmp_path_factory.mktemp(kind)))
    return WorkloadSpec(kind=kind, options=SMALL.get(kind, {}))


@pytest.fixture
def workload(spec: WorkloadSpec) -> Workload:
    return build_workload(spec)


def fresh(workload: Workload, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return workload.model(seed)


def weights(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_seed_fixes_the_model(workload: Workload) -> None:
    first = fresh(workload, 3)
    torch.rand(11)  # whatever happened before
    assert equal(weights(first), weights(fresh(workload, 3)))
    assert first is not fresh(workload, 3)


def test_seeds_give_other_models_unless_the_start_is_fixed(workload: Workload) -> None:
    first, second = (weights(fresh(workload, seed)) for seed in (0, 1))
    starts_at_zero = all(not value.any() for value in first)
    assert equal(first, second) == starts_at_zero


@pytest.mark.parametrize("split", SPLITS)
def test_examples_are_the_same_each_time(workload: Workload, split: Split) -> None:
    first, second = (workload.examples(split, 5) for _ in range(2))
    everything = torch.arange(len(first))
    assert len(first) == len(second) > 0
    assert equal(list(first.batch(everything)), list(second.batch(everything)))


def test_records_tell_which_data_it_was(spec: WorkloadSpec, workload: Workload) -> None:
    facts = workload.provenance()
    assert facts == build_workload(spec).provenance()
    assert all(isinstance(value, str) for value in facts.values())
    if spec.kind in ON_DISK:
        assert "sha256" in (facts.get("data") or facts["text"])
        assert facts["datasets"] == version("datasets")


def test_splits_have_one_shape_and_type(workload: Workload) -> None:
    batches = [workload.examples(split, 0).batch(torch.arange(1)) for split in SPLITS]
    assert len({tuple(tensor.shape[1:] for tensor in batch) for batch in batches}) == 1
    kinds = [tuple(tensor.is_floating_point() for tensor in batch) for batch in batches]
    assert len(set(kinds)) == 1


def test_a_batch_is_what_its_indices_say(workload: Workload) -> None:
    examples = workload.examples("train", 0)
    batch = examples.batch(torch.tensor([4, 0, 4]))
    assert all(len(tensor) == 3 for tensor in batch)
    for tensor in batch:
        assert torch.equal(tensor[0], tensor[2])
    alone = examples.batch(torch.tensor([0]))
    assert all(torch.equal(one[0], many[1]) for one, many in zip(alone, batch, strict=True))


def test_examples_stay_what_they_are_on_the_way_to_a_device(workload: Workload) -> None:
    examples = workload.examples("train", 0)
    moved = examples.to(torch.device("cpu"))
    indices = torch.arange(4)
    assert len(moved) == len(examples)
    assert equal(list(moved.batch(indices)), list(examples.batch(indices)))


def test_the_loss_is_a_scalar_with_a_gradient(workload: Workload) -> None:
    model = fresh(workload, 0)
    loss = workload.loss(model, workload.examples("train", 0).batch(torch.arange(8)))
    assert loss.ndim == 0
    assert math.isfinite(loss.item())
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)  # type: ignore[union-attr]


def test_the_loss_is_the_mean_over_the_batch(workload: Workload) -> None:
    """In evaluation mode: batch normalisation mixes the examples of a training batch."""
    model, examples = fresh(workload, 0).eval(), workload.examples("train", 0)
    with torch.no_grad():
        together = workload.loss(model, examples.batch(torch.arange(12)))
        alone = [workload.loss(model, examples.batch(torch.tensor([k]))) for k in range(12)]
    assert together.item() == pytest.approx(sum(loss.item() for loss in alone) / 12, rel=1e-5)


@torch.no_grad()
def test_evaluation_over_ranks_adds_up(workload: Workload) -> None:
    model, examples = fresh(workload, 0).eval(), workload.examples("valid", 0)
    everything = torch.arange(len(examples))
    whole = workload.evaluate(model, examples, everything)
    for ranks in (2, 3, 7):
        parts = [workload.evaluate(model, examples, everything[r::ranks]) for r in range(ranks)]
        assert [sum(part[k] for part in parts) for k in (0, 1)] == pytest.approx(list(whole))


@torch.no_grad()
def test_evaluation_equals_one_example_at_a_time(workload: Workload) -> None:
    """Unless it is done in closed form, which the workload's own tests must show."""
    model, examples = fresh(workload, 1).eval(), workload.examples("test", 1)
    if type(workload).evaluate is not Workload.evaluate:
        pytest.skip("evaluated in closed form")
    loss, metric = workload.evaluate(model, examples, torch.arange(len(examples)))
    scores = [
        workload.score(model, examples.batch(torch.tensor([k]))) for k in range(len(examples))
    ]
    assert loss == pytest.approx(sum(float(score[0]) for score in scores), rel=1e-5)
    assert metric == pytest.approx(sum(float(score[1]) for score in scores), rel=1e-5, abs=1e-9)


@torch.no_grad()
def test_the_loss_at_chance_is_near_that_of_a_fresh_model(workload: Workload) -> None:
    """In training mode: a fresh batch normalisation has no statistics to evaluate with."""
    if workload.chance_loss is None:
        return
    examples = workload.examples("valid", 0)
    model = fresh(workload, 0)
    loss, _ = workload.evaluate(model, examples, torch.arange(len(examples)))
    assert loss / len(examples) == pytest.approx(workload.chance_loss, rel=0.2)
    if workload.optimum_loss is not None:
        assert workload.optimum_loss < workload.chance_loss


def sampled_gradient(workload: Workload, model: nn.Module, seed: int) -> Tensor | None:
    batch = workload.examples("train", 0).batch(torch.arange(8))
    sampled = workload.sampled_loss(model, batch, torch.Generator().manual_seed(seed))
    if sampled is None:
        return None
    loss, count = sampled
    assert loss.ndim == 0
    assert count >= 8  # one label or more of every example
    assert count % 8 == 0
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


def test_labels_are_drawn_from_the_model_by_the_generator(workload: Workload) -> None:
    """Under labels of the model's own the expected gradient of −log p is zero."""
    model = fresh(workload, 0)
    first, again = (sampled_gradient(workload, model, seed=0) for _ in range(2))
    if first is None or again is None:
        assert first is again is None
        return
    assert torch.equal(first, again)
    draws = [sampled_gradient(workload, model, seed) for seed in range(300)]
    stacked = torch.stack([draw for draw in draws if draw is not None])
    typical = stacked.square().sum(dim=1).mean().sqrt()
    assert stacked.unique(dim=0).shape[0] > 100
    assert stacked.mean(dim=0).norm() < 3 * typical / math.sqrt(300)


def test_projection_keeps_weights_inside_and_is_idempotent(workload: Workload) -> None:
    model = fresh(workload, 0)
    workload.project(model)
    inside = weights(model)
    workload.project(model)
    assert equal(inside, weights(model))


def cell_of(spec: WorkloadSpec, num_steps: int, eval_every: int = 25) -> Cell:
    return Cell(
        workload=spec,
        optimizer=SGD(),
        schedule=Fixed(),
        batch_size=16,
        num_steps=num_steps,
        lr_exponent="-1",
        seed=0,
        training=TrainingSpec(eval_every=eval_every),
    )


def test_a_run_that_is_put_aside_goes_on_to_the_bit(spec: WorkloadSpec, tmp_path: Path) -> None:
    """The order of its data and its random crops included, in the middle of a pass."""
    cell = cell_of(spec, num_steps=8, eval_every=4)
    whole = without_time(*train(cell, build_workload(spec)))
    stopped = Checkpoints(path=tmp_path / "aside", stop=stop_within(5))
    with pytest.raises(CellStoppedError, match="stopped after update 6"):
        train(cell, build_workload(spec), stopped)
    said: list[str] = []
    rest = Checkpoints(path=tmp_path / "aside", note=said.append)
    record, curve = without_time(*train(cell, build_workload(spec), rest))
    assert "goes on from update 6" in said[0]
    assert record == whole[0]
    assert_frame_equal(curve, whole[1], check_exact=True)


def test_it_trains(spec: WorkloadSpec) -> None:
    cell = cell_of(spec, num_steps=60)
    record, _ = train(cell, build_workload(cell.workload))
    assert record.status is RunStatus.COMPLETED
    assert record.summary.valid_loss < record.summary.initial_valid_loss  # type: ignore[operator]
    assert record.value <= record.facts.chance_loss  # type: ignore[union-attr]
