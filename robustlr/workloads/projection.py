"""Euclidean projection of a model's weights: bounded iterates are what the theory assumes."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def project_onto_ball(model: nn.Module, radius: float) -> None:
    """Scale all weights together so that their norm is at most `radius`, in place."""
    weights = list(model.parameters())
    norm = torch.nn.utils.get_total_norm(weights)
    if norm > radius:
        for weight in weights:
            weight.mul_(radius / norm)
