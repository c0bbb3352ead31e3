"""Is the last input higher than the others? Asked of a fitted process, and of parts of its data.

AutoWU asks several predictions, each from a part of the observations, and counts votes. Of v
votes the j-th leaves out the observations j, j + v, j + 2v, ... and keeps r, μ and s² of all.
"""

from __future__ import annotations

import numpy as np

from robustlr.gp.correlation import FloatArray
from robustlr.gp.regression import GaussianProcess


def rise(process: GaussianProcess, votes: int = 1) -> tuple[FloatArray, FloatArray]:
    """E[μ + f(x_i)] and Var(f(x_n) − f(x_i)) at the inputs, both (votes, n).

    votes: v of them; a single vote leaves nothing out.

    At the inputs f = s·Φw with w ~ N(0, I). With the observed rows Φ_o, Λ = Φ_oᵀΦ_o + r·I
    is small, E[s·w] = Λ⁻¹Φ_oᵀ(y − μ)_o and Cov(w) = rΛ⁻¹. As ΦᵀΦ = diag(l), Λ is diag(d)
    less the ΦᵀΦ of the rows left out; scaled by 1/√d from both sides it is well conditioned.
    The differences of rows of Φ are formed before the squares, so that no variance of two
    close points is lost to cancellation.
    """
    ratio = float(np.exp(process.log_ratio))
    scale = 1.0 / np.sqrt(process.spectrum.values + ratio)
    scaled = process.spectrum.features * scale
    gaps = scaled[-1] - scaled
    right = np.empty((votes, len(scale)))
    precision = np.empty((votes, len(scale), len(scale)))
    right[:], precision[:] = process.residual @ scaled, np.eye(len(scale))
    for vote in range(votes if votes > 1 else 0):
        left_out = scaled[vote::votes]
        precision[vote] -= left_out.T @ left_out
        right[vote] -= process.residual[vote::votes] @ left_out
    inverse = np.linalg.inv(precision)
    mean = process.mean + (inverse @ right[:, :, None])[:, :, 0] @ scaled.T
    explained = np.einsum("vik,ik->vi", gaps @ inverse, gaps)
    return mean, process.signal_variance * ratio * np.maximum(explained, 0.0)
