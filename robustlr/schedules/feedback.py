"""What training tells a schedule before an update, and what a schedule may ask of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feedback:
    """What training tells a schedule before the update at `step`; equal on every rank.

    step: completed updates, from 0. train_loss: mean loss of the update's global batch.
    curvature_trace: estimate of tr(H) at the current weights; None where none was made.
    curvature_extremes: lowest and highest trace that the estimated diagonal of H allows
    (n times its smallest and largest entry); None where they were not asked for.
    """

    step: int
    train_loss: float
    curvature_trace: float | None = None
    curvature_extremes: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureRequest:
    """The curvature estimate a schedule asks the training loop for.

    estimator: a name of `robustlr.curvature`. every: updates between estimates.
    batch_fraction: share of the update's batch it may use. probes: probes per estimate.
    extremes: whether the feedback needs `curvature_extremes` too, which takes a diagonal and the
        memory of some copies of the weights.
    """

    estimator: str = "hutchinson"
    every: int = 40
    batch_fraction: float = 0.125
    probes: int = 1
    extremes: bool = False
