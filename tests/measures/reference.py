"""Every measure again, slow and obvious: pandas groupby and loops, one resample at a time.

`reference` returns {(measure, *keys): value} of one setting for a list of seeds, which may name a
seed several times (a resample) or leave one out. NaN: not supported. It shares no code with
robustlr.measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from robustlr.records import Results
from robustlr.specs import ReportSpec
from tests.measures.reference_curves import speedup

Values = dict[tuple[object, ...], float]


class Setting:
    """The runs of one setting, with a row per drawn seed."""

    def __init__(
        self, runs: pd.DataFrame, curves: dict[str, pd.DataFrame], on: str, seeds: Sequence[int]
    ) -> None:
        lost = (runs.status == "diverged") | runs.valid_loss.isna()
        self.chance_loss = float(runs.chance_loss.median())
        if on == "loss":
            self.chance, raw, initial = self.chance_loss, runs.test_loss, runs.initial_test_loss
            self.optimum = float(runs.optimum_loss.median())
        else:
            fresh = {k: c[c.step == 0].test_metric for k, c in curves.items()}
            initial = runs.key.map(lambda k: fresh[k].iloc[0] if k in fresh else np.nan)
            raw, self.optimum = runs.test_metric, np.nan
            known = raw[~lost].dropna()
            self.chance = float(initial.median() if initial.notna().any() else known.max())
        runs = runs.assign(
            lost=lost,
            select=runs.valid_loss.where(~lost)
            .fillna(self.chance_loss)
            .clip(upper=self.chance_loss),
            report=raw.where(~lost).fillna(self.chance).clip(upper=self.chance),
            raw=raw.where(~lost),
        )
        runs["capped"] = np.minimum(runs.report, initial.fillna(self.chance))
        self.schedules = list(dict.fromkeys(runs.schedule))
        self.lattice = lattice(sorted(set(runs.lr_index)))
        known_lr = runs.groupby("lr_index").peak_lr.first()
        logs = np.interp(self.lattice, known_lr.index, np.log10(known_lr))
        self.log_lr = dict(zip(self.lattice, logs, strict=True))
        width = max(len(self.lattice) - 1, 1)
        self.ratio = 10 ** ((logs[-1] - logs[0]) / width) if len(self.lattice) > 1 else np.nan
        self.all, self.curves = runs, curves
        parts = [runs[runs.seed == k].assign(draw=d) for d, k in enumerate(seeds)]
        self.runs = pd.concat(parts)
        self.means = {
            s: self.runs[self.runs.schedule == s]
            .groupby("lr_index")[["select", "report", "raw", "capped"]]
            .mean()
            for s in self.schedules
        }

    def tune(self, schedule: str, among: Sequence[int] | None = None) -> int | None:
        """The learning rate of least mean validation loss, the lowest of equals."""
        select = self.means[schedule]["select"].round(12)
        if among is not None:
            select = select[select.index.isin(among)]
        return None if select.empty else int(select.idxmin())

    def value(self, schedule: str, lr: int | None, column: str = "report") -> float:
        means = self.means[schedule]
        return float(means[column][lr]) if lr in means.index else np.nan

    @property
    def best(self) -> str:
        return min(
            (s for s in self.schedules if len(self.means[s])),
            key=lambda s: round(self.value(s, self.tune(s), "select"), 12),
        )

    @property
    def best_value(self) -> float:
        return self.value(self.best, self.tune(self.best))

    @property
    def range(self) -> float:
        gap = self.chance - self.best_value
        return gap if gap > 0 else np.nan

    def edge(self, schedule: str) -> bool:
        mine = sorted(set(self.all[self.all.schedule == schedule].lr_index))
        return self.tune(schedule) in (mine[0], mine[-1])


def lattice(indices: list[int]) -> list[int]:
    step = math.gcd(*np.diff(indices).tolist()) or 1
    full = list(range(indices[0], indices[-1] + 1, step))
    return full if len(indices) >= 0.5 * len(full) else indices


def reference(
    results: Results, report: ReportSpec, *, on: str = "loss", seeds: Sequence[int] | None = None
) -> Values:
    """All measures of one setting."""
    runs = pd.DataFrame({c: results.runs[c].to_list() for c in results.runs.columns})
    runs = runs.astype({c: float for c in runs.columns if c.endswith(("loss", "metric_value"))})
    runs["test_metric"] = runs.test_metric.astype(float)
    curves = {
        key: pd.DataFrame({c: part[c].to_numpy() for c in part.columns}).sort_values("step")
        for (key,), part in results.curves.group_by(["key"])
    }
    chosen = sorted(set(runs.seed)) if seeds is None else seeds
    setting = Setting(runs, curves, on, chosen)
    values: Values = {}
    for measure in (tuned, misspecification, regret, tolerance, sensitivity, exponent):
        values.update(measure(setting, report))
    values.update(pairwise(setting, report))
    values.update(speedup(setting, report))
    return values


def tuned(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    for s in x.schedules:
        lr = x.tune(s)
        yield ("tuned", s, "value"), x.value(s, lr)
        yield ("tuned", s, "valid_loss"), x.value(s, lr, "select")
        yield ("tuned", s, "peak_lr"), np.nan if lr is None else 10 ** x.log_lr[lr]
        yield ("tuned", s, "excess_over_best"), x.value(s, lr) - x.best_value
        for lr, mean in x.means[s]["report"].items():
            yield ("per_lr", s, lr, "value"), float(mean)


def misspecification(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    for s in x.schedules:
        best = x.tune(s)
        for j in range(-len(x.lattice), len(x.lattice)):
            at = x.lattice.index(best) + j if best is not None else -1
            if not 0 <= at < len(x.lattice):
                continue
            lr = x.lattice[at]
            if not ((x.all.schedule == s) & (x.all.lr_index == lr)).any():
                continue
            value = x.value(s, lr)
            yield ("misspecification", s, j, "value"), value
            yield ("misspecification", s, j, "excess_over_own_best"), value - x.value(s, best)
            yield ("misspecification", s, j, "excess_over_best"), value - x.best_value
            yield ("misspecification", s, j, "excess_ratio"), excess_ratio(x, s, lr, best)


def excess_ratio(x: Setting, s: str, lr: int, best: int | None) -> float:
    if any(
        x.all[(x.all.schedule == s) & (x.all.lr_index == at)].raw.isna().any() for at in (lr, best)
    ):
        return np.nan
    tuned_excess = x.value(s, best, "raw") - x.optimum
    return (x.value(s, lr, "raw") - x.optimum) / tuned_excess if tuned_excess > 0 else np.nan


def exponent(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    for s in x.schedules if not np.isnan(x.optimum) else []:
        best = x.tune(s)
        points = []
        for lr in x.lattice:
            if best is None or not 1 - 1e-9 <= x.log_lr[lr] - x.log_lr[best] <= 2 + 1e-9:
                continue
            ratio = excess_ratio(x, s, lr, best)
            if ratio > 0:
                points.append((x.log_lr[lr] - x.log_lr[best], np.log10(ratio)))
        slope = np.polyfit(*np.transpose(points), 1)[0] if len(points) > 1 else np.nan
        yield ("exponent", s, "exponent"), float(slope)


def coarse_values(x: Setting, s: str, every: int) -> list[float]:
    chosen = [x.tune(s, x.lattice[o::every]) for o in range(every)]
    return [x.value(s, lr) for lr in chosen if lr is not None]


def regret(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    for s in x.schedules:
        own = x.value(s, x.tune(s))
        for every in range(1, len(x.lattice) + 1):
            values = coarse_values(x, s, every)
            for kind, value in (
                ("mean", np.mean(values) if values else np.nan),
                ("worst", max(values, default=np.nan)),
            ):
                key = ("regret", s, every)
                yield (*key, f"value_{kind}"), value
                yield (*key, f"regret_{kind}"), value - own
                yield (*key, f"regret_{kind}_share"), (value - own) / x.range
                yield (*key, f"excess_{kind}"), value - x.best_value


def tolerance(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    allowed = report.epsilon * x.range
    for s, kind in product(x.schedules, ("own", "best")):
        compared = x.value(s, x.tune(s)) if kind == "own" else x.best_value
        coarsest = 0
        for every in range(1, len(x.lattice) + 1):
            if not max(coarse_values(x, s, every), default=np.nan) - compared <= allowed:
                break
            coarsest = every
        key = ("tolerance", s, kind)
        yield (*key, "resolution"), x.ratio**coarsest if coarsest else np.nan
        yield (*key, "runs"), math.ceil(len(x.lattice) / coarsest) if coarsest else np.nan
        yield (*key, "basin_decades"), basin(x, s, compared, allowed)


def basin(x: Setting, s: str, compared: float, allowed: float) -> float:
    points = [(x.log_lr[lr], v - compared) for lr, v in x.means[s]["report"].items()]
    best = x.tune(s)
    if np.isnan(allowed) or best is None:
        return np.nan
    at = [lr for lr, _ in points].index(x.log_lr[best])
    if not points[at][1] <= allowed:
        return 0.0
    ends = []
    for direction in (-1, 1):
        i = at
        while 0 <= i + direction < len(points) and points[i + direction][1] <= allowed:
            i += direction
        end, loss = points[i]
        if 0 <= i + direction < len(points):
            beyond, more = points[i + direction]
            end += (beyond - end) * (allowed - loss) / (more - loss)
        ends.append(end)
    return ends[1] - ends[0]


def sensitivity(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    ranges = [x.all[x.all.schedule == s].lr_index for s in x.schedules]
    low, high = max(r.min() for r in ranges), min(r.max() for r in ranges)
    for s in x.schedules:
        ran = sorted(set(x.all[x.all.schedule == s].lr_index))
        best = x.tune(s)
        if best is None:
            continue
        own = [lr for lr in ran if abs(x.log_lr[lr] - x.log_lr[best]) <= 1.5 + 1e-9]
        for window, lrs in (("own", own), ("common", [lr for lr in ran if low <= lr <= high])):
            y = [x.value(s, lr, "capped") for lr in lrs]
            at = [x.log_lr[lr] for lr in lrs]
            if len(lrs) > 1:
                mean = sum(
                    (b - a) * (u + v) / 2 for a, b, u, v in zip(at, at[1:], y, y[1:], strict=False)
                ) / (at[-1] - at[0])
            else:
                mean = y[0] if y else np.nan
            value = x.value(s, x.tune(s, lrs))
            yield ("sensitivity", s, window, "sensitivity"), mean - value
            yield ("sensitivity", s, window, "excess_over_best"), mean - x.best_value


def pairwise(x: Setting, report: ReportSpec) -> Iterator[tuple[tuple[object, ...], float]]:
    for first, second in combinations(x.schedules, 2):
        a, b = (second, first) if first == report.baseline else (first, second)
        for every in range(1, len(x.lattice) + 1):
            differences, wins, per_seed = [], [], []
            for o in range(every):
                one, two = (x.tune(s, x.lattice[o::every]) for s in (a, b))
                if one is None or two is None:
                    continue
                differences.append(x.value(a, one) - x.value(b, two))
                left = x.runs[(x.runs.schedule == a) & (x.runs.lr_index == one)]
                right = x.runs[(x.runs.schedule == b) & (x.runs.lr_index == two)]
                pair = left.merge(right, on="draw")
                if len(pair):
                    won = (pair.report_x < pair.report_y) + 0.5 * (pair.report_x == pair.report_y)
                    wins.append(won.mean())
                per_seed.append((pair.report_x - pair.report_y).set_axis(pair.draw))
            key = ("pairwise", a, b, every)
            yield (*key, "difference"), np.mean(differences) if differences else np.nan
            yield (*key, "probability"), np.mean(wins) if wins else np.nan
            together = pd.concat(per_seed, axis=1).mean(axis=1) if per_seed else pd.Series([])
            yield (*key, "p_value"), sign_flip(together.to_numpy(dtype=float))


def sign_flip(d: np.ndarray) -> float:
    if len(d) == 0:
        return np.nan
    sums = [abs(np.dot(signs, d)) for signs in product((-1, 1), repeat=len(d))]
    return float(np.mean([total >= abs(d.sum()) * (1 - 1e-9) for total in sums]))
