"""Euclidean projection of a model's weights: bounded iterates are what the theory assumes."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def project_onto_ball(model: nn.Module, radius: float) -> None:
    """Scale all weights together so that their norm is at most `radius`, in place.

    Weights that are not finite are left as they are, for the training loop to see.
    """
    weights = list(model.parameters())
    norm = math.hypot(*(float(torch.linalg.vector_norm(weight)) for weight in weights))
    if radius < norm < math.inf:
        for weight in weights:
            weight.mul_(radius / norm)
