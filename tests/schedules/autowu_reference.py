"""The original automated warmup as its authors describe it, slow and by hand: a test oracle.

Per epoch: all losses so far, a constant mean (set to their mean), a scaled RBF kernel of
lengthscale 0.2 in x = index/length, scale and noise by 100 Adam steps of 0.01 on the marginal
likelihood of at most 100 points; five predictions on 500 points, each from at most 500
observations; the maximum over the points of P(X_i < X_last) from marginals with a jitter of
1e-4 added; a vote at 0.95, a majority, three positive tests in a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_DRAWS, _GRID = 5, 500


@dataclass(frozen=True, slots=True)
class Switch:
    """After which epoch (from 1) the warmup ended, and the learning rate after it."""

    epoch: int
    lr: float


def first_switch(
    losses: NDArray[np.float64], per_epoch: int, lr_min: float, lr_max: float
) -> Switch | None:
    """The switch during a warmup of len(losses) updates, exponential from lr_min to lr_max."""
    in_a_row = 0
    for epoch in range(1, len(losses) // per_epoch + 1):
        n = epoch * per_epoch
        votes, minima = _test(torch.tensor(losses[:n], dtype=torch.float64))
        in_a_row = in_a_row + 1 if votes > _DRAWS / 2 else 0
        if in_a_row == 3:
            now = lr_min * (lr_max / lr_min) ** (n / len(losses))
            return Switch(epoch, float(np.mean([lr_min * (now / lr_min) ** x for x in minima])))
    return None


def _test(y: Tensor) -> tuple[int, list[float]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.arange(len(y), dtype=torch.float64) / len(y)
    grid = torch.linspace(0.0, 1.0, _GRID, dtype=torch.float64)
    chosen = _subset(len(y), 100, generator)
    mean, scale, noise = _fit(x[chosen], y[chosen], float(y.mean()))
    votes, minima = 0, []
    for _ in range(_DRAWS):
        chosen = _subset(len(y), 500, generator)
        a, b = x[chosen], y[chosen]
        across = scale * _rbf(grid, a)
        gain = torch.linalg.solve(scale * _rbf(a, a) + noise * torch.eye(len(a)), across.T).T
        mu = mean + gain @ (b - mean)
        sigma = scale * _rbf(grid, grid) - gain @ across.T
        variance = sigma.diag() + sigma[-1, -1] - 2.0 * sigma[:, -1] + 1e-4
        z = (mu[-1] - mu) / variance.clamp(min=1e-12).sqrt()
        votes += bool(torch.special.ndtr(z).max() > 0.95)
        minima.append(float(grid[int(mu.argmin())]))
    return votes, minima


def _fit(x: Tensor, y: Tensor, mean: float) -> tuple[Tensor, Tensor, Tensor]:
    centre = torch.tensor(mean, dtype=torch.float64, requires_grad=True)
    raw_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    raw_noise = torch.tensor(math.log(math.expm1(1e-3 - 1e-4)), dtype=torch.float64)
    raw_noise.requires_grad_(True)
    parameters = [centre, raw_scale, raw_noise]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    softplus = torch.nn.functional.softplus
    kernel = _rbf(x, x)
    for _ in range(100):
        optimizer.zero_grad()
        covariance = softplus(raw_scale) * kernel
        covariance = covariance + (softplus(raw_noise) + 1e-4) * torch.eye(len(x))
        factor = torch.linalg.cholesky(covariance)
        residual = (y - centre)[:, None]
        fit = (residual * torch.cholesky_solve(residual, factor)).sum()
        loss = (0.5 * fit + factor.diag().log().sum()) / len(x)
        loss.backward()
        optimizer.step()
    scale, noise = softplus(raw_scale), softplus(raw_noise) + 1e-4
    return centre.detach(), scale.detach(), noise.detach()


def _rbf(a: Tensor, b: Tensor) -> Tensor:
    return torch.exp(-0.5 * ((a[:, None] - b[None, :]) / 0.2) ** 2)


def _subset(n: int, most: int, generator: torch.Generator) -> Tensor:
    if n <= most:
        return torch.arange(n)
    return torch.randperm(n, generator=generator)[:most].sort().values
