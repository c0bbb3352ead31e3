"""A classifier of transformers as a plain network: images in, logits out."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from robustlr.workloads.architectures import make_model


class Logits(nn.Module):
    """pixel_values [B, 3, H, W] → logits [B, classes] of `classifier`."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pixel_values=images).logits
        return logits


def image_classifier(config: Any, weights: str | None = None) -> Logits:
    """Fresh, or with the weights in a folder. Raises as `make_model` does."""
    return Logits(make_model(config, "image_classification", weights))
