"""Which figures a setting gets, in which order, and what each of them says in two sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl
from matplotlib.figure import Figure

from robustlr import figures
from robustlr.figures import Looks
from robustlr.measures import Measures
from robustlr.records import Results
from robustlr.report.numbers import number, percent
from robustlr.report.setting import Setting
from robustlr.report.training_curves import (
    CURVATURE,
    WARMUP,
    Trace,
    traces,
    tuned_curves,
    tuned_runs,
    untuned_runs,
    with_estimates,
    with_fit,
)

PICTURES = (
    "tolerance", "regret", "learning-rates", "seed-spread", "misspecification", "sensitivity",
    "theory", "exponents", "horizon", "speedup", "convergence", "curvature", "warmup",
)  # fmt: skip
"""What `Picture.key` may begin with: the names a study may choose from in report.pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """key: its file name without suffix. explanation: two sentences."""

    key: str
    title: str
    explanation: str
    draw: Callable[[], Figure]


def pictures(setting: Setting, results: Results, looks: Looks) -> Iterator[Picture]:
    """Every figure that the setting's data support."""
    yield from _grids(setting, looks)
    yield from _learning_rates(setting, looks)
    yield from _theory(setting, looks)
    yield from _training(setting, results, looks)


def profiles(measures: Measures, looks: Looks) -> Iterator[Picture]:
    """The performance profile over several settings, in updates."""
    unit = pl.col("unit") == "updates"
    profile, score = measures.profile, measures.score
    if not len(profile.filter(unit)):
        return
    yield Picture(
        key="profile",
        title="Time to target over all settings",
        explanation=(
            "Left, the share of settings in which a schedule reaches the target within τ times "
            "the updates of the fastest one there; right, the AlgoPerf score, which is 1 for a "
            "schedule that is fastest everywhere. A setting where the target is missed never "
            "counts, so a curve may end below 100 %."
        ),
        draw=lambda: figures.performance_profile(profile.filter(unit), score.filter(unit), looks),
    )


def _grids(setting: Setting, looks: Looks) -> Iterator[Picture]:
    m, epsilon = setting.measures, setting.report.epsilon
    if m.regret["every"].n_unique() < 2:
        return
    yield Picture(
        key="tolerance",
        title="How coarse a grid each schedule tolerates",
        explanation=(
            f"The coarsest grid whose worst placement loses at most ε = {percent(epsilon)} of the "
            "range between chance and best, and the runs per seed that saves over "
            f"{setting.report.baseline}. Filled marks compare a schedule with its own tuned value, "
            "hollow ones with the best schedule's; lines are 95 % intervals over seeds."
        ),
        draw=lambda: figures.tolerated_grids(m.tolerance, looks, baseline=setting.report.baseline),
    )
    yield Picture(
        key="regret",
        title="What tuning on a coarser grid costs",
        explanation=(
            "Every k-th learning rate of the grid is kept, from all k offsets; the loss against "
            "the schedule's own tuned value is averaged over the offsets on the left, and taken at "
            "its worst on the right. Below the dashed line it is within the tolerance."
        ),
        draw=lambda: figures.regret_against_resolution(m.regret, looks, epsilon=epsilon),
    )


def _learning_rates(setting: Setting, looks: Looks) -> Iterator[Picture]:
    m, quantity = setting.measures, setting.quantity
    yield Picture(
        key="learning-rates",
        title=f"{quantity[:1].upper()}{quantity[1:]} against learning rate",
        explanation=(
            "Mean over seeds with its 95 % interval; a ring marks the learning rate chosen on "
            f"validation. Runs that diverged count as chance, {number(m.tuned['chance'][0])}."
        ),
        draw=lambda: figures.value_against_learning_rate(m.per_lr, looks, quantity=quantity),
    )
    if m.per_lr["seeds"].max() != 1 or (m.per_lr["divergence_rate"] > 0).any():
        yield Picture(
            key="seed-spread",
            title="Seed spread and danger zone",
            explanation=(
                "How far seeds are apart at each learning rate, and, as bars, the share of them "
                "that diverged. A learning rate just below the bars is a gamble even where the "
                "mean still looks good."
            ),
            draw=lambda: figures.seed_spread(m.per_lr, looks, quantity=quantity),
        )
    if m.misspecification["rho"].n_unique() < 2:
        return
    yield Picture(
        key="misspecification",
        title="What a wrong learning rate costs",
        explanation=(
            "ρ is the factor by which the learning rate misses the schedule's own tuned one: "
            "left of 1× too small, right of it too large. On the left each schedule is compared "
            "with itself, on the right with the best schedule, so that a schedule cannot look "
            "robust by being poor everywhere."
        ),
        draw=lambda: figures.misspecification_curves(m.misspecification, looks, quantity=quantity),
    )
    yield Picture(
        key="sensitivity",
        title="Learning-rate sensitivity",
        explanation=(
            "Mean excess over a window of learning rates (Wortsman et al. 2023): filled for three "
            "decades around the schedule's own optimum, hollow for the range that all share. "
            "Smaller is more robust."
        ),
        draw=lambda: figures.sensitivities(m.sensitivity, looks, quantity=quantity),
    )


def _theory(setting: Setting, looks: Looks) -> Iterator[Picture]:
    m = setting.measures
    known = m.misspecification.drop_nulls("excess_ratio")
    if known["rho"].n_unique() >= 2:
        ends = (float(known["rho"].min()), float(known["rho"].max()))  # type: ignore[arg-type]
        yield Picture(
            key="theory",
            title="Misspecification beside the theory",
            explanation=(
                "Excess over the known optimum relative to the tuned learning rate, and, dotted, "
                "the bound of convex optimisation for the same shape (a worst case, so only its "
                "slope is comparable). On the left every schedule should pay alike; on the right "
                "annealing should forgive."
            ),
            draw=lambda: figures.misspecification_against_theory(
                known,
                setting.predicted(rho=ends).curves,
                looks,
            ),
        )
    if m.exponent["exponent"].count():
        yield Picture(
            key="exponents",
            title="Exponents beside the theory",
            explanation=(
                "Fitted slope of log excess against log ρ for too large learning rates, with its "
                "95 % interval, and the bound's slope over the same range. Smaller is more robust."
            ),
            draw=lambda: figures.exponents(m.exponent, setting.predicted().exponents, looks),
        )
    for quantity, label in (
        ("excess", "excess over the optimum at the tuned learning rate"),
        ("min_grad_norm_squared", "smallest squared norm of a batch's gradient"),
    ):
        points = m.horizon.filter(pl.col("quantity") == quantity)
        if points["num_steps"].n_unique() >= 2:
            yield Picture(
                key=f"horizon-{quantity.replace('_', '-')}",
                title=f"{label[:1].upper()}{label[1:]} against horizon",
                explanation=(
                    "Each horizon T is tuned by itself, over all horizons of this workload, "
                    "optimizer and batch size. The dotted line falls like 1/√T, the theory's rate."
                ),
                draw=lambda points=points, label=label: figures.value_against_horizon(  # type: ignore[misc]
                    points, looks, quantity=label
                ),
            )


def _training(setting: Setting, results: Results, looks: Looks) -> Iterator[Picture]:
    m = setting.measures
    if m.speedup["hit_rate"].count() and (m.speedup["speedup_updates"] > 0).any():
        yield Picture(
            key="speedup",
            title="Speedup against misspecification",
            explanation=(
                f"Updates that tuned {setting.report.baseline} needs to its target, over those of "
                "the schedule at ρ times its own tuned learning rate: above 1× is faster. The "
                "share of runs that reach the target stands beside it, since a miss has no time."
            ),
            draw=lambda: figures.speedup_against_misspecification(
                m.speedup, looks, baseline=setting.report.baseline
            ),
        )
    runs = tuned_runs(results, setting.name, m.tuned)
    curves = tuned_curves(results, runs)
    if curves["loss"].count() > 1:
        target = m.speedup["target"].drop_nulls()
        yield Picture(
            key="convergence",
            title="Training at the tuned learning rate",
            explanation=(
                "Validation loss and the learning rate that was applied (medians over seeds, the "
                "middle half of the losses shaded). The dashed line is the target of the speedup."
            ),
            draw=lambda: figures.loss_curves(
                curves, looks, target=float(target[0]) if len(target) else None
            ),
        )
    for position, trace in enumerate(traces(results, runs, CURVATURE), start=1):
        yield Picture(
            key=f"curvature-{position}",
            title=f"What {trace.schedule} saw",
            explanation=(
                "One run at the tuned learning rate (its first seed): the learning rate it chose, "
                "and the estimates of the Hessian's trace it chose it by (the control "
                "squared_gradient has ‖g‖² in its place), where each was first logged. Estimates "
                "may be negative; their average is clamped at zero."
            ),
            draw=lambda trace=trace: figures.curvature_trace(  # type: ignore[misc]
                with_estimates(trace), trace.schedule, looks
            ),
        )
    untuned = untuned_runs(results, setting.name)
    for position, trace in enumerate(traces(results, untuned, WARMUP), start=1):
        yield Picture(
            key=f"warmup-{position}",
            title=f"How {trace.schedule} ended its warmup",
            explanation=(
                "One run under the largest lr_max (its first seed): learning rate, training "
                "losses with a Gaussian process through the logged ones, and the probability that "
                "their minimum has passed (0 where the losses are not clearly higher by now). "
                + (
                    "The run ended before its warmup did."
                    if trace.switch_step is None
                    else f"The warmup ended after {trace.switch_step} updates: {_reason(trace)}."
                )
            ),
            draw=lambda trace=trace: figures.warmup_trace(  # type: ignore[misc]
                with_fit(trace), trace.schedule, looks, switch_step=trace.switch_step
            ),
        )


def _reason(trace: Trace) -> str:
    return str(trace.outcome.get("warmup_reason") or "for a reason not recorded").replace("_", " ")
