"""Tables about training: sensitivity, time to target, exponents, rates, convergence."""

from __future__ import annotations

import polars as pl

from robustlr.report.numbers import ABSENT, number, percent
from robustlr.report.setting import Setting
from robustlr.report.table import Table, bracketed, rows_of


def sensitivity_table(setting: Setting) -> Table:
    return Table(
        key="sensitivity",
        title="Learning-rate sensitivity",
        explanation=(
            "Mean over log learning rate of the loss above the tuned value (capped at "
            "initialisation), on the schedule's own three decades and on the range all share. "
            "Covered: decades of the window that the grid holds."
        ),
        columns=("schedule", "window", "covered", "above its own best", "above the best schedule"),
        rows=tuple(
            (
                row["schedule"],
                row["window"],
                number(row["decades"]),
                bracketed(row, "sensitivity"),
                bracketed(row, "excess_over_best"),
            )
            for row in rows_of(setting.measures.sensitivity)
        ),
    )


def speedup_table(setting: Setting) -> Table:
    frame = setting.measures.speedup.filter(pl.col("shift") == 0)
    targets = frame["target"].drop_nulls()
    target = number(targets[0]) if len(targets) else ABSENT
    return Table(
        key="speedup",
        title="Time to target at the tuned learning rate",
        explanation=(
            f"Until the validation loss is at most {target}; medians over seeds, runs that miss it "
            f"counted as infinite. Speedup: time of {setting.report.baseline} over time of the "
            "schedule, above 1 faster, 0 where it misses."
        ),
        columns=(
            "schedule",
            "hits",
            "updates",
            "cost, example passes",
            "seconds",
            "speedup, updates",
            "speedup, cost",
            "speedup, seconds",
        ),
        rows=tuple(
            (
                row["schedule"],
                percent(row["hit_rate"]),
                *(bracketed(row, unit) for unit in ("updates", "cost", "seconds")),
                *(bracketed(row, f"speedup_{unit}") for unit in ("updates", "cost", "seconds")),
            )
            for row in rows_of(frame)
        ),
    )


def exponent_table(setting: Setting) -> Table:
    frame = setting.measures.exponent
    predicted = {}
    if len(frame):
        predicted = {row[0]: row[1:] for row in setting.predicted().exponents.iter_rows()}
    return Table(
        key="exponent",
        title="Exponents of the excess in ρ",
        explanation=(
            "Slope of log excess over the optimum against log ρ towards too large learning rates, "
            "and the slope of the bound over the same range; asymptotic: for ρ without end."
        ),
        columns=("schedule", "from ρ", "to ρ", "points", "fitted", "predicted", "asymptotic"),
        rows=tuple(
            (
                row["schedule"],
                number(row["rho_low"]),
                number(row["rho_high"]),
                number(row["points"]),
                bracketed(row, "exponent"),
                number(predicted.get(row["schedule"], (None, None))[0]),
                number(predicted.get(row["schedule"], (None, None))[1]),
            )
            for row in rows_of(frame)
        ),
    )


def rate_table(setting: Setting) -> Table:
    names = {"excess": "excess over the optimum", "min_grad_norm_squared": "min ‖g‖²"}
    return Table(
        key="rate",
        title="Rates in the horizon",
        explanation=(
            "Slope of the logarithm at the tuned learning rate against log T, over all horizons "
            "of this workload, optimizer and batch size; the theory's is −0.5. g: the gradient of "
            "an update's batch, noise included."
        ),
        columns=("schedule", "quantity", "horizons", "shortest T", "longest T", "rate"),
        rows=tuple(
            (
                row["schedule"],
                names[row["quantity"]],
                *(number(row[name]) for name in ("horizons", "shortest", "longest")),
                bracketed(row, "rate"),
            )
            for row in rows_of(setting.measures.rate)
        ),
    )


def convergence_table(setting: Setting) -> Table:
    tuned = setting.measures.tuned.select("schedule", "lr_index")
    runs = setting.measures.convergence.join(tuned, on=["schedule", "lr_index"])
    fitted = pl.col("fit") == "ok"
    frame = runs.group_by("schedule", maintain_order=True).agg(
        runs=pl.len(),
        fitted=fitted.sum(),
        rate=pl.col("rate").filter(fitted).median(),
        final_loss=pl.col("final_loss").filter(fitted).median(),
        r_squared=pl.col("r_squared").filter(fitted).median(),
        least=pl.col("min_grad_norm_squared").median(),
    )
    return Table(
        key="convergence",
        title="Convergence at the tuned learning rate",
        explanation=(
            "L(t) = L₀·exp(−αt) + L∞ fitted to each run's validation loss; medians over the runs "
            "that such a curve fits at all. g: the gradient of an update's batch, where it was "
            "logged."
        ),
        columns=("schedule", "fitted", "α per update", "L∞", "R²", "min ‖g‖²"),
        rows=tuple(
            (
                row["schedule"],
                f"{row['fitted']} of {row['runs']}",
                *(number(row[name]) for name in ("rate", "final_loss", "r_squared", "least")),
            )
            for row in rows_of(frame)
        ),
    )
