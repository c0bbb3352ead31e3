"""Small data sets in the form their owners ship them, written by the tests that need them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

Pixels = npt.NDArray[np.uint8]


def encoded(pixels: Pixels, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def striped(label: int, size: int, rng: np.random.Generator) -> Pixels:
    """Noise around a mean colour of the class: something that can be learned quickly."""
    mean = np.random.default_rng(label).uniform(60, 195, size=3)
    return np.clip(rng.normal(mean, 30, size=(size, size, 3)), 0, 255).astype(np.uint8)


def image_column(images: Sequence[bytes]) -> pa.Array:
    pairs = [{"bytes": data, "path": f"{k}.png"} for k, data in enumerate(images)]
    return pa.array(pairs, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def write_parquet(file: Path, columns: Mapping[str, pa.Array], features: Mapping[str, Any]) -> None:
    """As `datasets` does, its feature types in the schema's metadata."""
    import json

    file.parent.mkdir(parents=True, exist_ok=True)
    about = {"info": {"features": dict(features)}}
    table = pa.table(dict(columns)).replace_schema_metadata({"huggingface": json.dumps(about)})
    parquet.write_table(table, file, row_group_size=100)


def _class_label(classes: int) -> dict[str, Any]:
    return {"_type": "ClassLabel", "names": [f"class_{k}" for k in range(classes)]}


def write_cifar10(
    folder: Path, *, train: int = 200, test: int = 60, size: int = 32, classes: int = 10
) -> Path:
    """uoft-cs/cifar10: plain_text/{train,test}-00000-of-00001.parquet with img and label."""
    rng = np.random.default_rng(0)
    features = {"img": {"_type": "Image"}, "label": _class_label(10)}
    for split, number in (("train", train), ("test", test)):
        labels = [k % classes for k in range(number)]
        images = [encoded(striped(label, size, rng)) for label in labels]
        file = folder / "plain_text" / f"{split}-00000-of-00001.parquet"
        write_parquet(file, {"img": image_column(images), "label": pa.array(labels)}, features)
    return folder


def write_cifar100(folder: Path, *, train: int = 400, test: int = 100, size: int = 32) -> Path:
    """uoft-cs/cifar100: cifar100/{train,test}-*.parquet with img, fine_label, coarse_label."""
    rng = np.random.default_rng(0)
    features = {
        "img": {"_type": "Image"},
        "fine_label": _class_label(100),
        "coarse_label": _class_label(20),
    }
    for split, number in (("train", train), ("test", test)):
        labels = [k % 100 for k in range(number)]
        columns = {
            "img": image_column([encoded(striped(label, size, rng)) for label in labels]),
            "fine_label": pa.array(labels),
            "coarse_label": pa.array([label // 5 for label in labels]),
        }
        write_parquet(folder / "cifar100" / f"{split}-00000-of-00001.parquet", columns, features)
    return folder


def write_imagefolder(
    folder: Path,
    *,
    splits: Mapping[str, int] | None = None,
    classes: int = 3,
    size: tuple[int, int] = (40, 56),
) -> Path:
    """split/class/number.jpg; `splits`: images per class of each split."""
    rng = np.random.default_rng(0)
    for split, number in (splits or {"train": 12, "validation": 4}).items():
        for label in range(classes):
            place = folder / split / f"class_{label}"
            place.mkdir(parents=True)
            for k in range(number):
                pixels = striped(label, max(size), rng)[: size[0], : size[1]]
                (place / f"{k}.jpg").write_bytes(encoded(pixels, "JPEG"))
    return folder
