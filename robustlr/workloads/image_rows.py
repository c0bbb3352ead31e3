"""Labelled images of one split: checked, thinned, and divided once and for all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustlr.errors import DataError, one_line
from robustlr.workloads.base import Split
from robustlr.workloads.hub import EncodedImages, Source, load_rows

_HASHED = 100  # images of a split whose files a record's hash is of


def as_tensor(image: Any) -> Tensor:
    """uint8, [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@dataclass(frozen=True)
class ImageRows:
    """files: of the split as it is stored. rows: which of them, int64, [N]. labels: theirs."""

    files: EncodedImages
    rows: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: Tensor) -> ImageRows:
        return ImageRows(self.files, self.rows[chosen], self.labels[chosen])

    def image(self, row: int) -> Any:
        """The image in a row of the files, PIL, RGB. Raises DataError that names it."""
        from PIL import Image, UnidentifiedImageError

        data = self.files[row]
        try:
            image: Any = Image.open(io.BytesIO(data))
            if image.mode.startswith("I;16"):  # convert would make white of all above 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode in ("I", "F"):
                raise ValueError(f"pixels of mode {image.mode} have no range; store 8 or 16 bits")
            return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            known = not isinstance(error, UnidentifiedImageError)
            reason = one_line(str(error)) if known else "its format is unknown"
            raise DataError(f"{self.files.name(row)} cannot be decoded: {reason}") from error

    def digest(self) -> bytes:
        """SHA-256 of every label, and of the files of up to a hundred examples, evenly spaced."""
        digest = hashlib.sha256(self.labels.numpy().astype("<i8").tobytes())
        count = min(_HASHED, len(self))
        for place in (torch.arange(count) * len(self) // count).tolist():
            digest.update(self.files[int(self.rows[place])])
        return digest.digest()

    def decode(self, frame: Callable[[Any], Tensor]) -> Tensor:
        """Every image in memory: uint8, [N, 3, H, W]. frame: a PIL image to [3, H, W].

        Raises DataError that names an image that cannot be decoded or framed.
        """
        out: Tensor | None = None
        for position, row in enumerate(self.rows.tolist()):
            try:
                image = frame(self.image(row))
            except ShapeError as error:
                raise DataError(f"{self.files.name(row)} {error}") from error
            if out is None:  # filled in place: a list of them would double the memory
                out = torch.empty(len(self), *image.shape, dtype=torch.uint8)
            out[position] = image
        assert out is not None, "a split has rows"
        return out


def data_version(path: str, splits: Mapping[Split, ImageRows]) -> str:
    """Which images these are, for records: where from, how many, and the hash of their digests."""
    sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in splits.items())
    digest = hashlib.sha256(b"".join(rows.digest() for rows in splits.values()))
    return f"{path}: {sizes} images, sha256 {digest.hexdigest()[:16]}"


class ShapeError(ValueError):
    """An image that does not have the shape it should, said after its name."""


def read_rows(
    source: Source,
    split: str,
    *,
    image: str,
    label: str,
    classes: int,
    limit: int = 0,
    all_named: bool = False,
) -> ImageRows:
    """The split's images and labels, not decoded yet.

    classes: labels are 0 … classes − 1. limit: at most so many, evenly spaced over the split; 0 for
    all. all_named: where the data names its classes, `classes` must be their number.
    Raises DataError as `load_rows` does, for a label out of range, for one class only, and for
    another number of names.
    """
    table = load_rows(source, split, [image, label])
    labels = table.integers(label)
    outside = ((labels < 0) | (labels >= classes)).nonzero()[0]
    if len(outside):
        first = int(outside[0])
        raise DataError(
            f"{source.path}, split '{split}': label {labels[first]} of example {first} is out of "
            f"range (column '{label}' must hold 0 to {classes - 1}); so are {len(outside) - 1} "
            "others"
        )
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"{source.path}, split '{split}': every example has the label {labels[0]}, "
            "and with one class there is nothing to learn"
        )
    names = table.class_names(label) if all_named else None
    if names is not None and len(names) != classes:
        raise DataError(
            f"{source.path}, split '{split}': column '{label}' names {len(names)} classes "
            f"({', '.join(names[:3])}{', ...' * (len(names) > 3)}), but the model is to tell "
            f"{classes}: classes = {len(names)} would fit"
        )
    rows = np.arange(len(labels))
    if limit and limit < len(labels):
        rows = np.linspace(0, len(labels) - 1, limit).round().astype(np.int64)
    files = table.encoded_images(image)
    return ImageRows(files, torch.from_numpy(rows), torch.from_numpy(labels[rows]))


def fixed_split(rows: ImageRows, share: float) -> tuple[ImageRows, ImageRows]:
    """(the rest, the share held out): the same each time, stratified by label.

    round(share·n) of every class's n examples. Raises DataError where that is none, or all.
    """
    labels = rows.labels.numpy()
    shuffle = np.random.RandomState(0)  # whose numbers NumPy has promised to keep
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = shuffle.permutation((labels == label).nonzero()[0])
        held[members[: round(share * len(members))]] = True
    if not held.any() or held.all():
        raise DataError(
            f"valid_share = {share} of {len(labels)} examples leaves a split without any"
        )
    kept, taken = (torch.from_numpy(part.nonzero()[0]) for part in (~held, held))
    return rows.take(kept), rows.take(taken)
