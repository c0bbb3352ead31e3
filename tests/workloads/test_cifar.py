"""CIFAR as `datasets` ships it: what is read, how it is divided, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from robustlr.errors import DataError, RobustlrError, SpecError
from robustlr.specs import WorkloadSpec
from robustlr.workloads import Split, build_workload
from robustlr.workloads.cifar10 import Cifar10
from robustlr.workloads.cifar100 import Cifar100
from tests.workloads.datasets_on_disk import (
    encoded,
    image_column,
    write_cifar10,
    write_cifar100,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cifar10(tmp_path / "cifar10", train=100, test=30)


def stored(folder: Path, split: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(next(folder.rglob(f"{split}-*"))).to_pylist()
    return rows


def pixels(png: bytes) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)), dtype=np.float64)


def test_the_test_split_is_what_the_file_holds(folder: Path) -> None:
    examples = Cifar10(path=str(folder)).examples("test", 0)
    images, labels = examples.batch(torch.arange(30))
    mean, deviation = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
    for k, row in enumerate(stored(folder, "test")):
        assert labels[k] == row["label"]
        expected = (pixels(row["img"]["bytes"]) / 255 - mean) / deviation
        np.testing.assert_allclose(images[k].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_train_and_valid_share_the_training_split(folder: Path) -> None:
    """Stratified, disjoint, complete, and the same for every seed and process."""
    workload = Cifar10(path=str(folder), valid_share=0.2)
    train, valid = (workload.examples(split, 0) for split in ("train", "valid"))
    assert torch.bincount(train.labels).tolist() == [8] * 10
    assert torch.bincount(valid.labels).tolist() == [2] * 10
    together = torch.cat([train.images, valid.images]).flatten(1)
    every = Cifar10(path=str(folder), valid_share=0.5)
    others = torch.cat([every.examples(split, 1).images for split in ("train", "valid")])  # type: ignore[arg-type]
    assert torch.equal(together.unique(dim=0), others.flatten(1).unique(dim=0))
    assert len(together.unique(dim=0)) == 100


def test_only_training_batches_are_augmented(folder: Path) -> None:
    workload = Cifar10(path=str(folder), padding=2, cutout=8, flip=False)
    for split in ("train", "valid", "test"):
        augmentation = workload.examples(split, 0).augmentation  # type: ignore[arg-type]
        assert (augmentation is not None) == (split == "train")
    augmentation = workload.examples("train", 0).augmentation
    assert augmentation is not None
    assert (augmentation.padding, augmentation.cutout, augmentation.flip) == (2, 8, False)


def test_fine_labels_of_cifar100(tmp_path: Path) -> None:
    write_cifar100(tmp_path, train=200, test=100)
    workload = Cifar100(path=str(tmp_path), valid_share=0.5)
    assert workload.examples("test", 0).labels.tolist() == list(range(100))
    assert workload.model(0).head.out_features == 100  # type: ignore[union-attr]


def test_smaller_images_are_means_of_pixels(folder: Path) -> None:
    small = Cifar10(path=str(folder), size=8).examples("test", 0).images
    whole = Cifar10(path=str(folder)).examples("test", 0).images
    means = whole.double().reshape(30, 3, 8, 4, 8, 4).mean(dim=(3, 5))
    assert (small.double() - means).abs().max() <= 0.5


def test_a_limit_is_spread_over_the_split(folder: Path) -> None:
    workload = Cifar10(path=str(folder), limit=50, valid_share=0.2)
    assert len(workload.examples("test", 0)) == 30
    sizes = [len(workload.examples(split, 0)) for split in ("train", "valid")]  # type: ignore[arg-type]
    assert sum(sizes) == 50


def test_label_smoothing_is_for_training_alone(folder: Path) -> None:
    plain, smooth = (
        Cifar10(path=str(folder), network="wrn-10-1", label_smoothing=s) for s in (0.0, 0.1)
    )
    model, batch = plain.model(0).eval(), plain.examples("test", 0).batch(torch.arange(30))
    with torch.no_grad():
        logs = torch.log_softmax(model(batch[0]), dim=1)
        truth = torch.full((30, 10), 0.01).scatter(1, batch[1][:, None], 0.91)
        assert float(smooth.loss(model, batch)) == pytest.approx(-float((truth * logs).sum()) / 30)
        assert smooth.score(model, batch) == plain.score(model, batch)


def replace(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change rows of the training file; the feature types stay."""
    file = next(folder.rglob("train-*"))
    table = parquet.read_table(file)
    rows = table.to_pylist()
    change(rows)
    columns = {
        "img": image_column([row["img"]["bytes"] for row in rows]),
        "label": pa.array([row["label"] for row in rows]),
    }
    parquet.write_table(pa.table(columns).replace_schema_metadata(table.schema.metadata), file)


def wrong_shape(rows: list[dict[str, Any]]) -> None:
    rows[7]["img"]["bytes"] = encoded(np.zeros((28, 30, 3), dtype=np.uint8))


def corrupt(rows: list[dict[str, Any]]) -> None:
    rows[7]["img"]["bytes"] = rows[7]["img"]["bytes"][:1000]


def no_image(rows: list[dict[str, Any]]) -> None:
    rows[7]["img"]["bytes"] = b"<html>"


def out_of_range(rows: list[dict[str, Any]]) -> None:
    rows[7]["label"] = 10
    rows[9]["label"] = -1


def one_class(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["label"] = 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_shape, "image 7 (7.png) has 30 × 28 pixels, but CIFAR's have 32 × 32"),
        (corrupt, "image 7 (7.png) cannot be decoded: "),
        (no_image, "image 7 (7.png) cannot be decoded: its format is unknown"),
        (
            out_of_range,
            "label 10 of example 7 is out of range (column 'label' must hold 0 to 9); "
            "so are 1 others",
        ),
        (one_class, "every example has the label 3, and with one class there is nothing to learn"),
    ],
)
def test_bad_data_is_one_sentence(
    folder: Path, change: Callable[[list[dict[str, Any]]], None], message: str
) -> None:
    replace(folder, change)
    with pytest.raises(DataError) as caught:
        Cifar10(path=str(folder), valid_share=0.2).examples("train", 0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "split 'train'" in str(caught.value)


def test_the_data_of_another_is_refused(tmp_path: Path) -> None:
    write_cifar100(tmp_path, train=200, test=100)
    with pytest.raises(DataError, match="has no column 'label', but img, fine_label, coarse_label"):
        Cifar10(path=str(tmp_path)).examples("train", 0)


def test_without_data_it_says_how_to_get_it() -> None:
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        with pytest.raises(
            DataError,
            match=r"0\.14 GB, no licence .* cited; get it with `hf download uoft-cs/cifar10",
        ):
            Cifar10().examples(split, 0)


def test_a_share_too_small_for_the_data(folder: Path) -> None:
    with pytest.raises(DataError, match=r"valid_share = 0\.01 of 100 examples leaves a split"):
        Cifar10(path=str(folder), valid_share=0.01).examples("valid", 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "vgg16"}, "unknown network 'vgg16'; known: resnet18, and wrn-d-k"),
        ({"network": "wrn-27-10"}, "there is no wrn-27-10: its depth must be 10, 16, 22"),
        ({"size": 12}, "size must be 32, 16, 8 or 4, got 12"),
        ({"size": 4}, "padding 4 needs images larger than 4 pixels"),
        ({"cutout": -1}, "padding and cutout must be 0 or more"),
        ({"label_smoothing": 1.0}, "label_smoothing must be in [0, 1), got 1.0"),
        ({"valid_share": 0.0}, "valid_share must be in (0, 1), got 0.0"),
        ({"limit": -1}, "limit must be 0 or more, got -1"),
        ({"dropout": 1.0}, "dropout must be in [0, 1), got 1.0"),
        ({"netwrok": "resnet18"}, "netwrok: unknown key; did you mean 'network'?"),
    ],
    ids=str,
)
def test_bad_options_are_refused_before_any_data(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_workload(WorkloadSpec(kind="cifar10", options=options))
    assert message in str(caught.value)
    assert isinstance(caught.value, RobustlrError)
