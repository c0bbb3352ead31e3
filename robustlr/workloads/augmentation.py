"""Random crops with padding, flips and cutout: a batch at once, on the device of the images.

All three are one gather. Output pixel (i, j) of an image reads input pixel

    (R(i + top − p), R((flip ? W − 1 − j : j) + left − p))

top, left: uniform on 0 … 2p. p: the padding. R: reflection at the borders, as if the image had
been padded by p pixels of its own mirror image (Zagoruyko & Komodakis 2016). flip: a coin.
Cutout then puts zeros into the square of side s around a centre uniform over the image, as far as
it lies inside (DeVries & Taylor 2017, arXiv 1708.04552): the mean colour, once normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustlr.errors import SpecError

DRAWN = 5  # numbers per image


@dataclass(frozen=True)
class Augmentation:
    """padding: p, pixels. flip: mirror every second image. cutout: s, pixels; 0 for none."""

    padding: int = 4
    flip: bool = True
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.padding < 0 or self.cutout < 0:
            raise SpecError(
                f"padding and cutout must be 0 or more, got {self.padding} and {self.cutout}"
            )

    def check(self, size: int) -> None:
        """Raises SpecError where images of this size have too little to reflect."""
        if self.padding >= size:
            raise SpecError(f"padding {self.padding} needs images larger than {size} pixels")

    def places(self, uniform: Tensor, size: int) -> Tensor:
        """top, left, flip, and the row and column of cutout's centre: int64, [B, 5].

        uniform: numbers in [0, 1), float64, [B, 5].
        """
        shifts = 2 * self.padding + 1
        limits = torch.tensor([shifts, shifts, 2 if self.flip else 1, size, size])
        return (uniform * limits).floor().long()

    def pick(self, images: Tensor, indices: Tensor, places: Tensor) -> Tensor:
        """The images [N, C, S, S] at `indices` as `places` say, [B, C, S, S]; cutout is apart."""
        size, device = images.shape[-1], images.device
        indices, places = indices.to(device), places.to(device, non_blocking=True)
        top, left, flip = places[:, :3, None].unbind(dim=1)
        line = torch.arange(size, device=device)
        rows = self._reflected(line + top, size)
        columns = self._reflected(torch.where(flip.bool(), size - 1 - line, line) + left, size)
        pixels = (rows[:, :, None] * size + columns[:, None, :]).flatten(1)
        chosen = images.flatten(2)[indices]
        picked = chosen.gather(2, pixels[:, None].expand(-1, images.shape[1], -1))
        return picked.reshape(*picked.shape[:2], size, size)

    def cut(self, images: Tensor, places: Tensor) -> Tensor:
        """Zeros where `places` put the square, [B, C, S, S]."""
        if not self.cutout:
            return images
        line = torch.arange(images.shape[-1], device=images.device)
        starts = places[:, 3:, None].to(images.device, non_blocking=True) - self.cutout // 2
        inside = (line >= starts) & (line < starts + self.cutout)
        square = inside[:, 0, :, None] & inside[:, 1, None, :]
        return images.masked_fill(square[:, None], 0)

    def _reflected(self, line: Tensor, size: int) -> Tensor:
        """R(line − p), each in 0 … size − 1."""
        last = size - 1
        return last - (last - (line - self.padding).abs()).abs()
