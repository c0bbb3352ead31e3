"""All measures of a study's results: frames in, frames out."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass

import polars as pl

from robustlr.measures import schemas
from robustlr.measures.arrays import stack
from robustlr.measures.convergence import convergence_frame
from robustlr.measures.cube import Quantity
from robustlr.measures.cubes import build_cubes
from robustlr.measures.curves import flat_curves
from robustlr.measures.ensemble import Ensemble
from robustlr.measures.horizon import horizon_frames
from robustlr.measures.misspecification import (
    exponent_frame,
    exponent_notes,
    misspecification_frame,
)
from robustlr.measures.notes import notes_frame
from robustlr.measures.pairwise import pairwise_frame
from robustlr.measures.profiles import profile_frames
from robustlr.measures.regret import coarse_grids, regret_frame
from robustlr.measures.resampling import Interval, make_plan
from robustlr.measures.sensitivity import sensitivity_frame
from robustlr.measures.speedup import speedup_frame, speedup_notes, times_to_target
from robustlr.measures.tolerance import tolerance_frame
from robustlr.measures.tuned import per_lr_frame, tuned_frame
from robustlr.records import Results
from robustlr.specs import ReportSpec


@dataclass(frozen=True, kw_only=True)
class Measures:
    """One frame per measure; columns are documented in `robustlr.measures.schemas`.

    notes: columns setting (null: all of them) and note, a sentence about what is missing,
    doubtful or not supported by the number of seeds.
    """

    tuned: pl.DataFrame
    per_lr: pl.DataFrame
    misspecification: pl.DataFrame
    regret: pl.DataFrame
    tolerance: pl.DataFrame
    pairwise: pl.DataFrame
    sensitivity: pl.DataFrame
    exponent: pl.DataFrame
    rate: pl.DataFrame
    horizon: pl.DataFrame
    speedup: pl.DataFrame
    profile: pl.DataFrame
    score: pl.DataFrame
    convergence: pl.DataFrame
    notes: pl.DataFrame


def measure(
    results: Results,
    report: ReportSpec,
    *,
    on: Quantity = "loss",
    resamples: int = 2000,
    interval: Interval = "percentile",
    cross_fit: bool = False,
    seed: int = 0,
) -> Measures:
    """Every measure of every setting.

    on: what is reported, the test loss or the test metric; learning rates are always chosen by
    the validation loss. resamples: of the paired bootstrap over seeds. cross_fit: choose with
    one half of the seeds and report with the other, and the reverse.
    Raises DataError for duplicated runs and for learning rates that are not positive.
    """
    cubes = build_cubes(results, on=on)
    plan = make_plan(
        cubes[0].row.shape[2],
        resamples=resamples,
        interval=interval,
        cross_fit=cross_fit,
        seed=seed,
    )
    curves = flat_curves(results)
    frames: dict[str, list[pl.DataFrame]] = defaultdict(list)
    ensembles, timed = [], []
    for cube in cubes:
        ensemble = Ensemble.of(cube, plan)
        grids = [coarse_grids(fold) for fold in ensemble.folds]
        times = times_to_target(ensemble, curves, report)
        ensembles.append(ensemble)
        if times is not None:
            timed.append((ensemble, times))
            frames["speedup"].append(speedup_frame(ensemble, times, report))
        exponents = exponent_frame(ensemble)
        further = [*speedup_notes(cube, times, curves), *exponent_notes(exponents)]
        for name, block in {
            "tuned": tuned_frame(ensemble),
            "per_lr": per_lr_frame(ensemble),
            "misspecification": misspecification_frame(ensemble),
            "regret": regret_frame(ensemble, grids),
            "tolerance": tolerance_frame(
                ensemble, grids, epsilon=report.epsilon, baseline=report.baseline
            ),
            "pairwise": pairwise_frame(ensemble, baseline=report.baseline),
            "sensitivity": sensitivity_frame(ensemble),
            "exponent": exponents,
            "notes": notes_frame(ensemble, report, further),
        }.items():
            frames[name].append(block)
    frames["rate"], frames["horizon"] = ([f] for f in horizon_frames(ensembles, curves))
    frames["profile"], frames["score"] = ([f] for f in profile_frames(timed))
    frames["convergence"] = [convergence_frame(results.runs, curves)]
    return Measures(
        **{
            field.name: stack(getattr(schemas, f"{field.name.upper()}_SCHEMA"), frames[field.name])
            for field in dataclasses.fields(Measures)
        }
    )
