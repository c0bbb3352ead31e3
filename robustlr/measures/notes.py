"""What is missing, doubtful or not supported by the data, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from robustlr.measures.arrays import frame
from robustlr.measures.ensemble import Ensemble
from robustlr.measures.schemas import NOTES_SCHEMA
from robustlr.measures.sign_flip import LEAST_SEEDS
from robustlr.specs import ReportSpec


def notes_frame(ensemble: Ensemble, report: ReportSpec, further: list[str]) -> pl.DataFrame:
    """NOTES_SCHEMA: the sentences of one setting; further: those of its other measures."""
    notes = [
        *ensemble.cube.notes,
        *_gaps(ensemble),
        *_support(ensemble),
        *_tuning(ensemble),
        *_baseline(ensemble, report),
        *further,
    ]
    return frame(NOTES_SCHEMA, setting=[ensemble.cube.setting] * len(notes), note=notes)


def _gaps(ensemble: Ensemble) -> Iterator[str]:
    cube = ensemble.cube
    if len(cube.lr_index) == 1:
        yield "the grid has one learning rate: nothing can be said about misspecification"
    for s, name in enumerate(cube.schedules):
        columns = cube.columns(s)
        within = np.arange(columns[0], columns[-1] + 1)
        if holes := len(within) - len(columns):
            yield f"{name} has no runs at {holes} of the {len(within)} learning rates of its range"
        if len(within) < len(cube.lr_index):
            low, high = cube.peak_lr[columns[[0, -1]]]
            yield (
                f"{name} was run from {low:.3g} to {high:.3g} only, "
                f"{len(within)} of the setting's {len(cube.lr_index)} learning rates"
            )
        counts = cube.runs[s, columns]
        if counts.min() < counts.max():
            yield (
                f"{name} has {counts.min()} to {counts.max()} seeds per learning rate: "
                "means are over the seeds that are there"
            )
    groups = {frozenset(np.flatnonzero((row >= 0).any(axis=0)).tolist()) for row in cube.row}
    if len(groups) > 1:
        if frozenset.intersection(*groups):
            yield "not all schedules have the same seeds: pairs are those that both have"
        else:
            yield "the schedules share no seed: comparisons between them are not paired"


def _support(ensemble: Ensemble) -> Iterator[str]:
    least, most = int(ensemble.cube.seeds.min()), int(ensemble.cube.seeds.max())
    if most == 1:
        yield "one seed: no interval and no test is possible"
    elif least == 1:
        yield "some schedules have one seed: there is no interval and no test for them"
    elif least < LEAST_SEEDS:
        yield (
            f"{least} seeds: a sign-flip test cannot reach p < 0.05 with fewer than "
            f"{LEAST_SEEDS}, and intervals are rough"
        )


def _tuning(ensemble: Ensemble) -> Iterator[str]:
    cube = ensemble.cube
    if cube.diverged.sum() == (cube.row >= 0).sum():
        yield "every run diverged: all values are those of chance"
        return
    known = cube.report[~np.isnan(cube.report)]
    if known.min() == known.max():
        yield f"every run has the same value ({known[0]:.4g}): nothing distinguishes the schedules"
        return
    for s, name in enumerate(cube.schedules):
        if cube.diverged[s].sum() == (cube.row[s] >= 0).sum():
            yield f"every run of {name} diverged"
        elif cube.at_chance[s]:
            yield f"{name} does no better than chance at any learning rate"
        elif (side := ensemble.edge_side(s)) in ("low", "high"):
            ends = {"low": "smallest", "high": "largest"}
            yield (
                f"the tuned learning rate of {name} is the {ends[side]} of its grid: "
                f"widen the grid {'downwards' if side == 'low' else 'upwards'}; "
                "no claim rests on it"
            )


def _baseline(ensemble: Ensemble, report: ReportSpec) -> Iterator[str]:
    if report.baseline not in ensemble.cube.schedules:
        yield f"the baseline '{report.baseline}' has no runs here: nothing is compared with it"
