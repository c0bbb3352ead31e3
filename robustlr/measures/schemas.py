"""Columns of every measure's frame.

Conventions. Rows are per setting (what may be compared) and schedule, in the order of the study.
A quantity with an interval has three columns: `x`, `x_low`, `x_high` (95 %, over seeds). Nothing
is NaN: null means "not supported by the data", and a note says why. +inf is kept where it is the
measure's value: a run that never reaches its target.

`value` is the quantity reported: the test loss, or the test metric with on="metric"; lower is
better, runs that diverged count as chance. `edge` is true where the schedule's tuned learning
rate is the first or last of its grid: such rows support no claim.
"""

from __future__ import annotations

import polars as pl

Schema = dict[str, pl.DataType]


def _interval(*names: str) -> Schema:
    return {f"{name}{end}": pl.Float64() for name in names for end in ("", "_low", "_high")}


_HEAD: Schema = {"setting": pl.String(), "schedule": pl.String()}

TUNED_SCHEMA: Schema = {
    **_HEAD,
    "lr_index": pl.Int64(),
    **_interval("peak_lr"),
    "edge": pl.Boolean(),
    "edge_side": pl.String(),
    "at_chance": pl.Boolean(),
    "seeds": pl.Int64(),
    "valid_loss": pl.Float64(),
    **_interval("value"),
    "value_iqm": pl.Float64(),
    "value_std": pl.Float64(),
    **_interval("test_metric"),
    **_interval("excess_over_best"),
    "best": pl.Boolean(),
    "divergence_rate": pl.Float64(),
    "chance": pl.Float64(),
    "optimum": pl.Float64(),
    "metric": pl.String(),
}
"""One row per schedule: its tuned learning rate, chosen on the mean validation loss over seeds,
reported on test. peak_lr_low/high: which learning rates the resampled seeds choose. edge_side:
"low", "high" or "only" (a grid of one point), else null. at_chance: no learning rate did better
than chance. excess_over_best: value minus that of the best schedule (chosen on validation);
best: this is it. value_iqm, value_std: interquartile mean and standard deviation over seeds.
chance: where diverged values are clipped; optimum: null unless known."""

PER_LR_SCHEMA: Schema = {
    **_HEAD,
    "lr_index": pl.Int64(),
    "peak_lr": pl.Float64(),
    "seeds": pl.Int64(),
    "valid_loss": pl.Float64(),
    **_interval("value"),
    "value_std": pl.Float64(),
    "value_min": pl.Float64(),
    "value_max": pl.Float64(),
    "value_quarter": pl.Float64(),
    "value_three_quarters": pl.Float64(),
    "divergence_rate": pl.Float64(),
    "tuned": pl.Boolean(),
}
"""One row per schedule and learning rate: mean, spread over seeds, and the share of runs that
diverged (the danger zone)."""

MISSPECIFICATION_SCHEMA: Schema = {
    **_HEAD,
    "shift": pl.Int64(),
    "rho": pl.Float64(),
    "lr_index": pl.Int64(),
    "peak_lr": pl.Float64(),
    "edge": pl.Boolean(),
    **_interval("value"),
    **_interval("excess_over_own_best"),
    **_interval("excess_over_best"),
    **_interval("excess_ratio"),
    "divergence_rate": pl.Float64(),
}
"""One row per schedule and grid point: rho = peak_lr / tuned peak_lr, below 1 too small, above 1
too large; shift: the same in grid points. The tuned learning rate is chosen anew in every
resample. excess_ratio: (value(ρη*) − optimum)/(value(η*) − optimum), of the values before they
are clipped to chance; null unless the optimum is known and on="loss"."""

REGRET_SCHEMA: Schema = {
    **_HEAD,
    "every": pl.Int64(),
    "resolution": pl.Float64(),
    "runs": pl.Int64(),
    "offsets": pl.Int64(),
    "edge": pl.Boolean(),
    **_interval("value_mean", "value_worst"),
    **_interval("regret_mean", "regret_worst"),
    **_interval("regret_mean_share", "regret_worst_share"),
    **_interval("excess_mean", "excess_worst"),
    "winner": pl.Boolean(),
    "winner_share": pl.Float64(),
}
"""One row per schedule and resolution: tune on every `every`-th learning rate of the grid (all
`offsets` of them; mean and worst), choosing on validation. resolution: ratio of neighbours.
runs: learning rates that such a grid has at most, per seed. regret: value minus the schedule's
own tuned value; _share: divided by (chance − best), the unit of ε; excess: value minus the best
schedule's tuned value. winner: lowest value_mean at this resolution; winner_share: of the
resamples in which it is."""

TOLERANCE_SCHEMA: Schema = {
    **_HEAD,
    "reference": pl.String(),
    "epsilon": pl.Float64(),
    "epsilon_loss": pl.Float64(),
    "edge": pl.Boolean(),
    "every": pl.Int64(),
    **_interval("resolution"),
    "loses_at_most": pl.Float64(),
    "whole_grid": pl.Boolean(),
    **_interval("runs"),
    **_interval("runs_saved"),
    **_interval("basin_decades"),
    "basin_low_lr": pl.Float64(),
    "basin_high_lr": pl.Float64(),
    "basin_censored": pl.Boolean(),
}
"""Two rows per schedule: reference "own" (its own tuned value) and "best" (the best schedule's).
resolution: the coarsest at which the worst offset loses at most epsilon_loss = ε·(chance − best),
and all finer ones too; loses_at_most: what the worst offset loses there; whole_grid: any single
learning rate of the grid would do. runs: learning rates such a grid has, runs_saved: fewer than
the baseline's (per seed); null where either optimum lies at an edge. basin: the learning rates
around the optimum that lose at most epsilon_loss; basin_censored: it reaches the grid's end."""

PAIRWISE_SCHEMA: Schema = {
    **_HEAD,
    "other": pl.String(),
    "every": pl.Int64(),
    "resolution": pl.Float64(),
    **_interval("difference"),
    **_interval("probability"),
    "confidence": pl.Float64(),
    "p_value": pl.Float64(),
    "smallest_p_value": pl.Float64(),
    "edge": pl.Boolean(),
}
"""One row per pair of schedules (the baseline is always `other`) and resolution (every one up to
r^16, then in steps of about √2). difference:
value of `schedule` minus that of `other`, mean over offsets, negative where `schedule` is
better. probability: that a run of `schedule` beats the run of `other` with the same seed, both
tuned at that resolution with the same offset (ties count half). confidence: share of the
resamples with a negative difference. p_value: paired sign-flip test, two-sided, not corrected
for the number of pairs; smallest_p_value: the least it could be with so many seeds."""

SENSITIVITY_SCHEMA: Schema = {
    **_HEAD,
    "window": pl.String(),
    "low_lr": pl.Float64(),
    "high_lr": pl.Float64(),
    "decades": pl.Float64(),
    "edge": pl.Boolean(),
    **_interval("sensitivity"),
    **_interval("excess_over_best"),
}
"""Two rows per schedule: window "own" (three decades centred on its tuned learning rate) and
"common" (where all schedules have runs). sensitivity: mean over log lr of min(value, value at
initialisation) minus the schedule's tuned value in the window (Wortsman et al. 2023);
excess_over_best: the same minus the best schedule's tuned value. decades: of the window that the
grid covers."""

EXPONENT_SCHEMA: Schema = {
    **_HEAD,
    "edge": pl.Boolean(),
    "rho_low": pl.Float64(),
    "rho_high": pl.Float64(),
    "points": pl.Int64(),
    **_interval("exponent"),
}
"""One row per schedule where the optimum is known: slope of log excess_ratio against log ρ over
the grid points with ρ between rho_low and rho_high."""

RATE_SCHEMA: Schema = {
    **_HEAD,
    "quantity": pl.String(),
    "horizons": pl.Int64(),
    "shortest": pl.Int64(),
    "longest": pl.Int64(),
    "edge": pl.Boolean(),
    **_interval("rate"),
}
"""How a quantity at the tuned learning rate falls with the horizon T: slope of its log against
log T. `setting` is here the family: workload, optimizer and batch size. quantity: "excess" (over
the known optimum) or "min_grad_norm_squared" (of an update's batch: min over the logged steps,
mean over seeds)."""

HORIZON_SCHEMA: Schema = {
    **_HEAD,
    "quantity": pl.String(),
    "num_steps": pl.Int64(),
    "edge": pl.Boolean(),
    **_interval("value"),
}
"""The points behind RATE_SCHEMA: one row per family, schedule, quantity and horizon."""

SPEEDUP_SCHEMA: Schema = {
    **_HEAD,
    "shift": pl.Int64(),
    "rho": pl.Float64(),
    "lr_index": pl.Int64(),
    "peak_lr": pl.Float64(),
    "edge": pl.Boolean(),
    "target": pl.Float64(),
    "seeds": pl.Int64(),
    "hit_rate": pl.Float64(),
    **_interval("updates", "cost", "seconds"),
    "evaluation_cost": pl.Float64(),
    **_interval("speedup_updates", "speedup_cost", "speedup_seconds"),
}
"""One row per schedule and grid point; shift 0 is the tuned learning rate (rho = 1). updates,
cost (example passes of training and curvature), evaluation_cost (example passes of evaluation,
apart), seconds: until the validation loss first is at most `target`; the median over seeds (the
least value that half of the runs attain), +inf where fewer than half reach it. speedup_x: the
baseline's x at its tuned learning rate divided by this one, above 1 faster; 0 where this one
misses, null where both miss."""

PROFILE_SCHEMA: Schema = {
    "unit": pl.String(),
    "schedule": pl.String(),
    "tau": pl.Float64(),
    "fraction": pl.Float64(),
}
"""Performance profiles over settings (AlgoPerf): fraction of the settings whose time to target
is at most tau times that of the fastest schedule there. unit: "updates", "cost", "seconds"."""

SCORE_SCHEMA: Schema = {
    "unit": pl.String(),
    "schedule": pl.String(),
    "settings": pl.Int64(),
    **_interval("score"),
}
"""AlgoPerf score per schedule: mean over settings of max(0, 4 − r)/3, r as in PROFILE_SCHEMA."""

CONVERGENCE_SCHEMA: Schema = {
    **_HEAD,
    "lr_index": pl.Int64(),
    "peak_lr": pl.Float64(),
    "seed": pl.Int64(),
    "fit": pl.String(),
    "points": pl.Int64(),
    "initial_loss": pl.Float64(),
    "rate": pl.Float64(),
    "final_loss": pl.Float64(),
    "r_squared": pl.Float64(),
    "min_grad_norm_squared": pl.Float64(),
}
"""One row per run: L(t) = L₀·e^(−αt) + L∞ fitted to its validation losses, with initial_loss =
L₀, rate = α (per update), final_loss = L∞ and R². fit: "ok", or why there is none: "diverged",
"too few points", "constant", "not exponential" (α runs off: a line or a step fits better)."""

NOTES_SCHEMA: Schema = {"setting": pl.String(), "note": pl.String()}
"""One row per sentence about what is missing, doubtful or not supported by the data."""
