"""The networks' sizes, the splits, and everything that can be wrong with somebody's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustlr.errors import DataError, SpecError, WorkloadError
from robustlr.specs import WorkloadSpec
from robustlr.workloads import Workload, build_workload
from robustlr.workloads.hf_image_classification import HFImageClassification
from robustlr.workloads.imagenet import ImageNet
from tests.workloads.datasets_on_disk import write_cifar10, write_imagefolder

SMALL = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}


def size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("network", "weights"), [("resnet50", 25_557_032), ("efficientnet_b0", 5_288_548)]
)
def test_networks_have_their_published_sizes(network: str, weights: int) -> None:
    with torch.device("meta"):
        assert size(ImageNet(network=network).model(0)) == weights


def test_batch_normalisation_of_efficientnet_keeps_99_percent() -> None:
    with torch.device("meta"):
        model = ImageNet(network="efficientnet_b0").model(0)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.01}


def test_the_official_validation_split_is_the_test_split(tmp_path: Path) -> None:
    write_imagefolder(tmp_path, splits={"train": 8, "validation": 2})
    workload = ImageNet(path=str(tmp_path), classes=3, size=8, valid_share=0.25)
    sizes = {split: len(workload.examples(split, 0)) for split in ("train", "valid", "test")}  # type: ignore[arg-type]
    assert sizes == {"train": 18, "valid": 6, "test": 6}


def test_evaluation_sees_the_square_that_is_asked_for(tmp_path: Path) -> None:
    write_imagefolder(tmp_path, splits={"train": 8, "validation": 2})
    options: dict[str, Any] = {"path": str(tmp_path), "classes": 3, "size": 8, "valid_share": 0.25}
    seen = [
        ImageNet(**options, **more).examples("test", 0).batch(torch.arange(2))[0]
        for more in ({}, {"central": 0.875}, {"central": 0.5})
    ]
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_a_missing_imagenet_says_what_to_do() -> None:
    with pytest.raises(DataError) as caught:
        ImageNet().examples("train", 0)
    for part in ("150 GB", "accept its terms", "`hf download ILSVRC/imagenet-1k --repo-type"):
        assert part in str(caught.value)


def hf(path: Path, **options: Any) -> HFImageClassification:
    table = {"path": str(path), "classes": 3, "size": 8, "padding": 1, **options}
    table.setdefault("architecture_options", SMALL)
    workload: Workload = build_workload(WorkloadSpec(kind="hf_image_classification", options=table))
    assert isinstance(workload, HFImageClassification)
    return workload


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_imagefolder(tmp_path / "photos", splits={"train": 6, "validation": 2, "test": 3})


def test_records_tell_one_image_or_label_from_another(photos: Path) -> None:
    def version() -> str:
        return hf(photos, valid_split="validation").provenance()["data"]

    first = version()
    assert f"{photos}: 18 train, 6 valid, 9 test images, sha256 " in first
    assert version() == first
    image = photos / "test" / "class_1" / "0.jpg"
    data = image.read_bytes()
    image.write_bytes((photos / "test" / "class_2" / "0.jpg").read_bytes())
    assert version() != first
    image.write_bytes(data)
    assert version() == first
    image.unlink()
    assert version() != first


def test_records_tell_the_weights_it_began_with(photos: Path, tmp_path: Path) -> None:
    def version(seed: int) -> str:
        folder = tmp_path / str(seed)
        torch.manual_seed(seed)
        hf(photos).model(seed).classifier.save_pretrained(folder)  # type: ignore[operator, union-attr]
        return hf(photos, weights=str(folder)).provenance()["weights"].partition(": ")[2]

    assert version(1) == version(1)
    assert version(1) != version(2)
    assert "weights" not in hf(photos).provenance()


def test_a_named_validation_split_is_used(photos: Path) -> None:
    named, held = hf(photos, valid_split="validation"), hf(photos, valid_share=0.5)
    assert [len(named.examples(split, 0)) for split in ("train", "valid", "test")] == [18, 6, 9]  # type: ignore[arg-type]
    assert [len(held.examples(split, 0)) for split in ("train", "valid", "test")] == [9, 9, 9]  # type: ignore[arg-type]


def test_columns_and_splits_go_by_their_names(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=40, test=20)
    workload = hf(tmp_path, image_column="img", classes=10, valid_share=0.25, test_split="test")
    assert len(workload.examples("train", 0)) == 30
    with pytest.raises(DataError, match="has no column 'image', but img, label"):
        hf(tmp_path, classes=10).examples("train", 0)
    with pytest.raises(DataError, match="has no split 'dev', but train, test"):
        hf(tmp_path, image_column="img", classes=10, valid_share=0.25, test_split="dev").examples(
            "test", 0
        )


def test_labels_out_of_range_are_refused(photos: Path) -> None:
    with pytest.raises(DataError, match=r"label 2 .* out of range \(column 'label' must hold 0 to"):
        hf(photos, classes=2).examples("train", 0)


@pytest.mark.parametrize("classes", [4, 10])
def test_a_model_of_more_classes_than_the_data_names_is_refused(photos: Path, classes: int) -> None:
    message = rf"names 3 classes \(class_0, class_1, class_2\), but the model is to tell {classes}"
    with pytest.raises(DataError, match=message):
        hf(photos, classes=classes).examples("train", 0)


def test_another_architecture_by_name_file_and_weights(photos: Path, tmp_path: Path) -> None:
    vit = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "image_size": 8, "patch_size": 4,
    }  # fmt: skip
    workload = hf(photos, architecture="vit", architecture_options=vit)
    model = workload.model(0)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 3)
    model.classifier.save_pretrained(tmp_path / "saved")  # type: ignore[operator, union-attr]
    again = hf(
        photos, architecture=str(tmp_path / "saved"), architecture_options={},
        weights=str(tmp_path / "saved"),
    )  # fmt: skip
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(images), again.model(1).eval()(images))


def test_weights_for_other_classes_keep_all_but_the_head(photos: Path, tmp_path: Path) -> None:
    first = hf(photos).model(0)
    first.classifier.save_pretrained(tmp_path / "saved")  # type: ignore[operator, union-attr]
    model = hf(photos, classes=5, weights=str(tmp_path / "saved")).model(1)
    theirs = first.state_dict()
    same = [name for name, value in model.state_dict().items() if value.shape == theirs[name].shape]
    assert len(same) == len(theirs) - 2
    assert all(torch.equal(model.state_dict()[name], theirs[name]) for name in same)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_pickled_weights_are_refused(photos: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WorkloadError, match=r"pytorch_model\.bin is pickled"):
        hf(photos, weights=str(tmp_path)).model(0)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("hf_image_classification", {"architecture": "resent"}, "did you mean 'resnet'"),
        ("hf_image_classification", {"architecture": "no/such"}, "`hf download no/such`"),
        ("hf_image_classification", {"architecture": "gpt2"}, "no image classifier"),
        (
            "hf_image_classification",
            {"architecture_options": {"deepths": [1]}},
            "'resnet' has no option 'deepths'; did you mean 'depths'?",
        ),
        ("hf_image_classification", {"crop": "zoom"}, "crop: "),
        ("hf_image_classification", {"classes": 1}, "classes must be 2 or more"),
        ("hf_image_classification", {"central": 0.0}, "central must be in (0, 1], got 0.0"),
        ("hf_image_classification", {"size": 4}, "padding 4 needs images larger than 4 pixels"),
        ("imagenet", {"network": "resnet18"}, "unknown network 'resnet18'; known: efficientnet_b0"),
        ("imagenet", {"smallest_area": 0.0}, "smallest_area must be in (0, 1], got 0.0"),
        ("imagenet", {"central": 1.5}, "central must be in (0, 1], got 1.5"),
        ("imagenet", {"network_options": {"widths": 3}}, "'resnet' has no option 'widths'"),
    ],
)
def test_bad_options_are_refused_before_any_data(
    kind: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        build_workload(WorkloadSpec(kind=kind, options=options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
