"""Crops, resizing and flips of images in files, against Pillow step by step and by hand."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustlr.errors import DataError
from robustlr.workloads import Draw, Request
from robustlr.workloads.augmentation import Augmentation
from robustlr.workloads.hub import Source
from robustlr.workloads.image_examples import IMAGENET, image_examples
from robustlr.workloads.image_files import Framing, ImageFiles
from robustlr.workloads.image_rows import ImageRows, read_rows
from robustlr.workloads.image_tensors import ImageTensors
from tests.workloads.datasets_on_disk import write_imagefolder

sides = st.integers(1, 300)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> ImageRows:
    folder = write_imagefolder(tmp_path_factory.mktemp("photos"))
    return read_rows(Source(str(folder)), "train", image="image", label="label", classes=3)


@settings(max_examples=200, deadline=None)
@given(width=sides, height=sides, seed=st.integers(0, 2**31))
def test_random_boxes_lie_inside_with_the_area_and_aspect_asked_for(
    width: int, height: int, seed: int
) -> None:
    framing = Framing(8, area=(0.08, 1.0))
    uniform = torch.rand(10, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    left, upper, right, lower = framing.random_box(width, height, uniform)
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    across, down = right - left, lower - upper
    # rounding moves each side by half a pixel at most
    assert (across - 0.5) / (down + 0.5) <= 4 / 3
    assert (across + 0.5) / (down - 0.5) >= 3 / 4 or down <= 1


def test_boxes_of_a_large_image_follow_the_distribution() -> None:
    """Area uniform, logarithm of the aspect ratio uniform, place uniform."""
    framing = Framing(8, area=(0.1, 0.3))
    generator = torch.Generator().manual_seed(0)
    boxes = [
        framing.random_box(3000, 3000, torch.rand(10, 4, generator=generator, dtype=torch.float64))
        for _ in range(3000)
    ]
    left, upper, right, lower = np.array(boxes).T
    area = (right - left) * (lower - upper) / 3000**2
    aspect = np.log((right - left) / (lower - upper)) / math.log(4 / 3)
    across, down = left / (3000 - (right - left)), upper / (3000 - (lower - upper))
    for values, low, high in ((area, 0.1, 0.3), (aspect, -1, 1), (across, 0, 1), (down, 0, 1)):
        sorted_values = (np.sort(values) - low) / (high - low)
        distance = np.abs(sorted_values - (np.arange(3000) + 0.5) / 3000).max()
        assert distance < 1.95 / math.sqrt(3000)  # Kolmogorov–Smirnov, 0.1 %


def test_an_image_that_no_try_fits_gives_what_the_aspect_allows() -> None:
    framing = Framing(8, area=(1.0, 1.0))
    assert framing.random_box(100, 10, torch.full((10, 4), 0.5)) == (43, 0, 56, 10)
    assert framing.random_box(10, 100, torch.full((10, 4), 0.5)) == (0, 43, 10, 56)


def test_evaluation_is_resize_and_central_crop(rows: ImageRows) -> None:
    image = rows.image(0)
    assert image.size == (56, 40)
    mine = Framing(16, central=0.8).evaluated(image).double()
    # the shorter side to 20, then the central 16
    slow = np.asarray(image.resize((28, 20), Image.Resampling.BILINEAR).crop((6, 2, 22, 18)))
    difference = np.abs(mine.permute(1, 2, 0).numpy() - slow)
    assert difference.mean() < 1.0  # the borders see what lies beyond the crop, or do not
    assert difference[2:-2, 2:-2].max() <= 2.0


def by_hand(rows: ImageRows, framing: Framing, request: Request) -> list[np.ndarray]:
    out = []
    assert request.draw is not None
    uniform = request.draw.uniform(46)
    for index, numbers in zip(request.indices.tolist(), uniform, strict=True):
        file = rows.files[int(rows.rows[index])]
        image = Image.open(io.BytesIO(file))
        box = framing.random_box(*image.size, numbers[1:41].reshape(10, 4))
        crop = image.resize((framing.size, framing.size), Image.Resampling.BILINEAR, box=box)
        if numbers[0] < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(crop) / 255.0
        out.append((pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225))
    return out


def test_training_batches_are_boxes_of_the_files_flipped_by_a_coin(rows: ImageRows) -> None:
    framing = Framing(12)
    examples = image_examples(rows, framing, IMAGENET)
    assert isinstance(examples, ImageFiles)
    request = Request(torch.tensor([3, 30, 3, 17]), Draw(11, 4, torch.arange(4)))
    stream = examples.stream([request])
    (batch,) = stream
    for mine, slow in zip(batch[0], by_hand(rows, framing, request), strict=True):
        np.testing.assert_allclose(mine.permute(1, 2, 0).numpy(), slow, atol=1e-5)
    assert batch[1].tolist() == rows.labels[request.indices].tolist()


def test_ranks_see_their_share_of_the_same_crops(rows: ImageRows) -> None:
    examples = ImageFiles(rows, Framing(12), IMAGENET, Augmentation(0, False, 4))
    indices, places = torch.arange(8), torch.arange(8)
    shares = [places, places[:4], places[4:]]
    requests = [Request(indices[share], Draw(5, 8, share)) for share in shares]
    whole, first, second = examples.stream(requests)
    assert torch.equal(torch.cat([first[0], second[0]]), whole[0])


@pytest.mark.parametrize("augmentation", [None, Augmentation(2, True, 4)])
def test_images_that_fit_are_the_same_as_those_that_do_not(
    rows: ImageRows, augmentation: Augmentation | None
) -> None:
    framing = Framing(12, central=0.9, random=False)
    kept = image_examples(rows, framing, IMAGENET, augmentation)
    loaded = image_examples(rows, framing, IMAGENET, augmentation, fits=1000)
    assert isinstance(kept, ImageTensors)
    assert isinstance(loaded, ImageFiles)
    indices = torch.tensor([8, 2, 35])
    requests = [Request(indices, Draw(4, 6, torch.tensor([5, 0, 3]))), Request(indices)]
    for mine, other in zip(loaded.stream(requests), kept.stream(requests), strict=True):
        for part, expected in zip(mine, other, strict=True):
            assert torch.equal(part, expected)
    for part, expected in zip(loaded.batch(indices), kept.batch(indices), strict=True):
        assert torch.equal(part, expected)


def test_a_corrupt_jpeg_is_named_from_the_worker_that_met_it(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path, splits={"train": 4})
    bad = folder / "train" / "class_1" / "2.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    rows = read_rows(Source(str(folder)), "train", image="image", label="label", classes=3)
    examples = ImageFiles(rows, Framing(8), IMAGENET)
    with pytest.raises(DataError) as caught:
        list(examples.stream([Request(torch.arange(12), Draw(0, 12, torch.arange(12)))]))
    assert f"split 'train': image 6 ({bad}) cannot be decoded: " in str(caught.value)
    assert "\n" not in str(caught.value)


def written(folder: Path, image: Image.Image, form: str) -> ImageRows:
    """Rows whose every image is this one."""
    for label in ("a", "b"):
        (folder / "train" / label).mkdir(parents=True)
        image.save(folder / "train" / label / f"0.{form}")
    return read_rows(Source(str(folder)), "train", image="image", label="label", classes=2)


@pytest.mark.parametrize(("form", "kind"), [("png", "<u2"), ("tiff", "<u2"), ("tiff", ">u2")])
def test_sixteen_bits_keep_their_upper_eight(tmp_path: Path, form: str, kind: str) -> None:
    """As Pillow reads colour images of 16 bits."""
    pixels = np.arange(0, 65_536, 257, dtype=np.uint16).reshape(16, 16)
    rows = written(tmp_path, Image.fromarray(pixels.astype(kind)), form)
    seen = np.asarray(rows.image(0))
    assert seen.dtype == np.uint8
    for channel in range(3):
        assert np.array_equal(seen[:, :, channel], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused(tmp_path: Path, mode: str) -> None:
    rows = written(tmp_path, Image.new(mode, (9, 9), 1000), "tiff")
    with pytest.raises(DataError, match=rf"cannot be decoded: pixels of mode {mode} have no range"):
        rows.image(0)


def test_images_of_every_mode_become_colour(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "train" / label).mkdir(parents=True)
    for name, mode in (("a/grey.png", "L"), ("a/clear.png", "RGBA"), ("b/palette.png", "P")):
        Image.new(mode, (9, 9)).save(tmp_path / "train" / name)
    rows = read_rows(Source(str(tmp_path)), "train", image="image", label="label", classes=2)
    examples = image_examples(rows, Framing(8, random=False), IMAGENET)
    assert examples.batch(torch.arange(3))[0].shape == (3, 3, 8, 8)
