"""Curves of many runs, flat: the evaluations of run i are rows start[i] … start[i] + count[i].

One pass over the long table; nothing is padded, and no run is looked up by its key twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from robustlr.measures.cube import FloatArray, IntArray, floats
from robustlr.records import Results

UNITS = ("updates", "cost", "seconds")


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Evaluations with a finite validation loss, in order of steps, for every run of the frame.

    start, count: [runs]; count is 0 where a run has none. loss, updates, cost (example passes of
    training and curvature), evaluation (example passes of evaluation), seconds: [rows].
    min_grad_norm_squared: of the updates' batches, over the logged steps, [runs],
    NaN where none was logged.
    """

    start: IntArray
    count: IntArray
    loss: FloatArray
    updates: FloatArray
    cost: FloatArray
    evaluation: FloatArray
    seconds: FloatArray
    min_grad_norm_squared: FloatArray

    def run(self, index: int) -> slice:
        """Where a run's evaluations are."""
        return slice(int(self.start[index]), int(self.start[index] + self.count[index]))


def flat_curves(results: Results) -> Curves:
    """The curves of `results.runs`, in its order. Rows of other runs are passed over."""
    curves = results.curves
    starts = _starts(curves)
    if curves["key"].gather(starts).is_duplicated().any() or _unsorted(curves, starts):
        curves = curves.sort("key", "step", maintain_order=True)
        starts = _starts(curves)
    ends = np.append(starts[1:], len(curves))
    run = _run_of(curves["key"].gather(starts), results.runs["key"])

    loss = floats(curves["valid_loss"])
    keep = np.isfinite(loss)
    before = np.concatenate([[0], np.cumsum(keep)])
    total = len(results.runs)
    start, count = np.zeros(total, dtype=np.int64), np.zeros(total, dtype=np.int64)
    known = run >= 0
    start[run[known]] = before[starts[known]]
    count[run[known]] = before[ends[known]] - before[starts[known]]

    gradient = np.full(total, np.nan)
    if known.any():
        least = np.fmin.reduceat(floats(curves["grad_norm"]), starts)
        gradient[run[known]] = np.square(least[known])

    def kept(column: str) -> FloatArray:
        return floats(curves[column])[keep]

    return Curves(
        start=start,
        count=count,
        loss=loss[keep],
        updates=kept("step"),
        cost=kept("example_passes") + np.nan_to_num(kept("curvature_passes")),
        evaluation=kept("evaluation_passes"),
        seconds=kept("wall_seconds"),
        min_grad_norm_squared=np.where(np.isfinite(gradient), gradient, np.nan),
    )


def _starts(curves: pl.DataFrame) -> IntArray:
    """Rows at which the key changes."""
    key = curves["key"]
    changes = (key != key.shift()).fill_null(True)
    return changes.arg_true().to_numpy().astype(np.int64)


def _unsorted(curves: pl.DataFrame, starts: IntArray) -> bool:
    """Whether the steps of any run go back."""
    back = (curves["step"].diff() < 0).fill_null(False).arg_true().to_numpy()
    return bool((~np.isin(back, starts)).any())


def _run_of(keys: pl.Series, runs: pl.Series) -> IntArray:
    """Position in the run frame of each key, −1 where it is not there."""
    table = pl.DataFrame({"key": runs, "run": np.arange(len(runs))})
    found = pl.DataFrame({"key": keys}).join(table, on="key", how="left", maintain_order="left")
    return found["run"].fill_null(-1).to_numpy()
