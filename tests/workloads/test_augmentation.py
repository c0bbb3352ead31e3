"""Augmentation of a batch at once, against one image after the other in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.workloads.augmentation import Augmentation
from robustlr.workloads.image_tensors import ImageTensors, Normalization
from robustlr.workloads.streams import Draw, Request

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def one_by_one(examples: ImageTensors, request: Request) -> list[np.ndarray]:
    """Pad, crop, flip, normalise, cut: as the papers describe it, an image at a time."""
    augmentation, draw = examples.augmentation, request.draw
    assert augmentation is not None
    assert draw is not None
    p, out = augmentation.padding, []
    size = examples.images.shape[-1]
    places = augmentation.places(draw.uniform(5), size).tolist()
    for index, (top, left, flip, row, column) in zip(request.indices.tolist(), places, strict=True):
        image = examples.images[index].numpy()
        padded = np.pad(image, ((0, 0), (p, p), (p, p)), mode="reflect")
        image = padded[:, top : top + size, left : left + size]
        if flip:
            image = image[:, :, ::-1]
        mean, deviation = (np.array(v)[:, None, None] for v in (MEAN, DEVIATION))
        image = (image / 255.0 - mean) / deviation
        for i in range(size):
            for j in range(size):
                half = augmentation.cutout // 2
                inside = 0 <= i - row + half < augmentation.cutout
                if inside and 0 <= j - column + half < augmentation.cutout:
                    image[:, i, j] = 0.0
        out.append(image)
    return out


def pictures(number: int, size: int, augmentation: Augmentation | None) -> ImageTensors:
    generator = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (number, 3, size, size), generator=generator, dtype=torch.uint8)
    return ImageTensors(images, torch.arange(number), Normalization(MEAN, DEVIATION), augmentation)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(2, 9),
    padding=st.integers(0, 8),
    flip=st.booleans(),
    cutout=st.integers(0, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_batch_is_what_its_images_are(
    size: int, padding: int, flip: bool, cutout: int, seed: int
) -> None:
    examples = pictures(7, size, Augmentation(min(padding, size - 1), flip, cutout))
    request = Request(torch.tensor([4, 0, 0, 6, 2]), Draw(seed, 5, torch.arange(5)))
    (batch,) = examples.stream([request])
    assert batch[1].tolist() == [4, 0, 0, 6, 2]
    for mine, slow in zip(batch[0], one_by_one(examples, request), strict=True):
        np.testing.assert_allclose(mine.numpy(), slow, atol=1e-5)


def test_every_place_is_drawn_equally_often() -> None:
    places = Augmentation(2, True, 4).places(Draw(3, 60_000, torch.arange(60_000)).uniform(5), 8)
    for column, values in enumerate((5, 5, 2, 8, 8)):
        counts = torch.bincount(places[:, column], minlength=values)
        assert len(counts) == values
        expected = 60_000 / values
        assert (counts - expected).abs().max() < 5 * expected**0.5
    assert abs(np.corrcoef(places.numpy().T.astype(float)) - np.eye(5)).max() < 0.03


def test_no_flip_is_never_a_flip() -> None:
    places = Augmentation(1, False, 0).places(torch.rand(500, 5), 8)
    assert not places[:, 2].any()


def test_each_share_sees_its_part_of_the_same_numbers() -> None:
    """Ranks and micro-batches: the union is what one would see alone."""
    examples = pictures(20, 6, Augmentation(2, True, 3))
    indices = torch.randperm(20)[:12]
    (whole,) = examples.stream([Request(indices, Draw(9, 12, torch.arange(12)))])
    shares = torch.arange(12).reshape(2, 3, 2)
    for share in shares.flatten(0, 1):
        (part,) = examples.stream([Request(indices[share], Draw(9, 12, share))])
        assert torch.equal(part[0], whole[0][share])
        assert torch.equal(part[1], whole[1][share])


def test_other_updates_see_other_numbers() -> None:
    first, second = (Draw(seed, 6, torch.arange(6)).uniform(3) for seed in (1, 2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("augmentation", [None, Augmentation(4, True, 8)])
def test_evaluation_sees_images_as_they_are(augmentation: Augmentation | None) -> None:
    examples = pictures(5, 8, augmentation)
    (batch,) = examples.stream([Request(torch.tensor([3, 1]))])
    for mine, index in zip(batch[0], (3, 1), strict=True):
        for channel in range(3):
            plain = examples.images[index, channel].numpy() / 255.0
            plain = (plain - MEAN[channel]) / DEVIATION[channel]
            np.testing.assert_allclose(mine[channel].numpy(), plain, atol=1e-5)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(SpecError, match="padding and cutout must be 0 or more, got -1 and 0"):
        Augmentation(-1)
    with pytest.raises(SpecError, match="padding 8 needs images larger than 8 pixels"):
        Augmentation(8).check(8)
