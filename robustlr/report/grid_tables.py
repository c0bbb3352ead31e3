"""Tables about grids: tuned learning rates, tolerated grids, regret, pairs of schedules."""

from __future__ import annotations

import polars as pl

from robustlr.report.numbers import (
    choices,
    number,
    percent,
    percent_interval,
    ratio,
    ratio_interval,
)
from robustlr.report.setting import Row, Setting
from robustlr.report.table import Table, bracketed, rows_of

_SHOWN_RESOLUTIONS = 6


def tuned_table(setting: Setting) -> Table:
    metric = f"test {setting.metric}"
    twice = metric == setting.quantity or not setting.measures.tuned["test_metric"].count()
    return Table(
        key="tuned",
        title="Tuned learning rates",
        explanation=(
            f"Chosen on the mean validation loss, reported as {setting.quantity}; behind is the "
            "distance to the best schedule. A learning rate at an edge supports no claim."
        ),
        columns=(
            "schedule",
            "learning rate",
            setting.quantity,
            "behind the best",
            *(() if twice else (metric,)),
            "diverged",
            "seeds",
            "remark",
        ),
        rows=tuple(
            (
                row["schedule"],
                choices(row["peak_lr"], row["peak_lr_low"], row["peak_lr_high"]),
                bracketed(row, "value"),
                bracketed(row, "excess_over_best"),
                *(() if twice else (bracketed(row, "test_metric"),)),
                percent(row["divergence_rate"]),
                number(row["seeds"]),
                _remark(row),
            )
            for row in rows_of(setting.measures.tuned)
        ),
    )


def tolerance_table(setting: Setting) -> Table:
    return Table(
        key="tolerance",
        title="Tolerated grids",
        explanation=(
            f"The coarsest grid whose worst placement loses at most ε = "
            f"{percent(setting.report.epsilon)} of the range between chance and best, against the "
            "schedule's own tuned value or the best schedule's; saved: learning rates fewer than "
            f"{setting.report.baseline} needs, per seed."
        ),
        columns=(
            "schedule",
            "against",
            "coarsest grid",
            "loses at most",
            "runs",
            "saved",
            "basin, decades",
        ),
        rows=tuple(
            (
                row["schedule"],
                {"own": "its own", "best": "the best"}[row["reference"]],
                ("≥ " if row["whole_grid"] else "")
                + ratio_interval(row["resolution"], row["resolution_low"], row["resolution_high"]),
                number(row["loses_at_most"]),
                bracketed(row, "runs"),
                bracketed(row, "runs_saved"),
                ("≥ " if row["basin_censored"] and row["basin_decades"] is not None else "")
                + bracketed(row, "basin_decades"),
            )
            for row in rows_of(setting.measures.tolerance)
        ),
    )


def regret_table(setting: Setting) -> Table:
    frame = setting.measures.regret
    chosen = shown_resolutions(frame)
    return Table(
        key="regret",
        title="Regret of coarser grids",
        explanation=(
            f"Loss in {setting.quantity} from tuning on a coarser grid, against the schedule's own "
            "tuned value: mean and worst over where the grid falls. Lowest in: share of the "
            "resamples in which the schedule has the lowest mean value on that grid."
        ),
        columns=(
            "schedule",
            "grid",
            "runs",
            "mean regret",
            "worst regret",
            "worst, % of range",
            "lowest in",
        ),
        rows=tuple(
            (
                row["schedule"],
                ratio(row["resolution"]),
                number(row["runs"]),
                bracketed(row, "regret_mean"),
                bracketed(row, "regret_worst"),
                percent_interval(
                    row["regret_worst_share"],
                    row["regret_worst_share_low"],
                    row["regret_worst_share_high"],
                ),
                percent(row["winner_share"]) + (" (lowest)" if row["winner"] else ""),
            )
            for row in rows_of(frame.filter(pl.col("every").is_in(chosen)))
        ),
    )


def pairwise_table(setting: Setting, every: int | None) -> Table:
    chosen = {1, every or 1}
    frame = setting.measures.pairwise.filter(
        (pl.col("other") == setting.report.baseline) & pl.col("every").is_in(chosen)
    )
    return Table(
        key="pairwise",
        title=f"Against {setting.report.baseline}",
        explanation=(
            "Difference at equal resolution (negative: better than the baseline), the probability "
            "of beating it with the same seed, and a two-sided sign-flip test, uncorrected for "
            "the number of pairs; least p: what so many seeds can reach at all."
        ),
        columns=("schedule", "grid", "difference", "beats it", "resamples better", "p", "least p"),
        rows=tuple(
            (
                row["schedule"],
                ratio(row["resolution"]),
                bracketed(row, "difference"),
                percent_interval(
                    row["probability"], row["probability_low"], row["probability_high"]
                ),
                percent(row["confidence"]),
                number(row["p_value"], digits=2),
                number(row["smallest_p_value"], digits=2),
            )
            for row in rows_of(frame)
        ),
    )


def shown_resolutions(regret: pl.DataFrame) -> list[int]:
    """Few of many: the finest, the coarsest, and between them evenly in the logarithm."""
    every = sorted(regret["every"].unique().to_list())
    if len(every) <= _SHOWN_RESOLUTIONS:
        return every
    last = len(every) - 1
    picks = {round(last ** (i / (_SHOWN_RESOLUTIONS - 2))) for i in range(_SHOWN_RESOLUTIONS - 1)}
    return [every[pick] for pick in sorted({0, *picks})]


def _remark(row: Row) -> str:
    if row["at_chance"]:
        return "at chance"
    if row["edge"]:
        sides = {"low": "lowest of its grid", "high": "highest of its grid"}
        return sides.get(row["edge_side"], "only one in its grid")
    return "best" if row["best"] else ""
