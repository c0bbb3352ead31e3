"""Images that fit are decoded once and kept as tensors; others are decoded when they are due."""

from __future__ import annotations

from robustlr.workloads.augmentation import Augmentation
from robustlr.workloads.image_files import Framing, ImageFiles
from robustlr.workloads.image_rows import ImageRows
from robustlr.workloads.image_tensors import ImageTensors, Normalization

ImageExamples = ImageTensors | ImageFiles

IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's training images, in common use for photographs."""

_FITS = 4 << 30  # bytes of a split that are kept on the device


def image_examples(
    rows: ImageRows,
    framing: Framing,
    normalization: Normalization,
    augmentation: Augmentation | None = None,
    *,
    fits: int = _FITS,
) -> ImageExamples:
    """The same batches either way; training crops by random boxes need the files.

    fits: the most bytes that are kept, at one byte per colour and pixel.
    """
    if framing.random or len(rows) * 3 * framing.size**2 > fits:
        return ImageFiles(rows, framing, normalization, augmentation)
    return ImageTensors(rows.decode(framing.evaluated), rows.labels, normalization, augmentation)
