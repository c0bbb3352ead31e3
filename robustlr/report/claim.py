"""The claim about one schedule: what it tolerates, what that saves, and whether it holds.

The claim is against the best tuned schedule: a grid on which `winner`, wherever the grid falls,
loses at most ε of the range between chance and best. The baseline needs a finer grid for the
same, or does not get there at all.
"""

from __future__ import annotations

from robustlr.measures.sign_flip import LEAST_SEEDS
from robustlr.report.numbers import interval, number, percent, plural, ratio
from robustlr.report.setting import Row, Setting


def tolerates(setting: Setting, winner: str, row: Row) -> str:
    """What the recommended schedule loses at most, and on which grid."""
    if row["every"] == 1:
        return (
            f"No grid coarser than the one that was run ({ratio(row['resolution'])}, "
            f"{plural(int(row['runs']), 'learning rate')}) stays within the tolerance of the best "
            f"tuned schedule ({percent(row['epsilon'])} of the range between chance and best, "
            f"{number(row['epsilon_loss'])}); on that one {winner} loses "
            f"{_lost(setting, winner, row)} of {setting.quantity}."
        )
    return (
        f"{winner} on a {ratio(row['resolution'])} grid loses at most "
        f"{_lost(setting, winner, row)} of {setting.quantity}, wherever the grid falls, against "
        f"the best tuned schedule (tolerated: {percent(row['epsilon'])} of the range between "
        f"chance and best, {number(row['epsilon_loss'])})."
    )


def against_baseline(setting: Setting, row: Row) -> str:
    """What the baseline needs for the same."""
    baseline = setting.report.baseline
    if baseline not in setting.schedules:
        return f"The baseline {baseline} has no runs here, so nothing can be saved against it."
    if excluded(setting.tuned(baseline)):
        return f"{baseline}, the baseline, supports no claim here, so what that saves is unknown."
    base = setting.tolerance(baseline, "best")
    if base["resolution"] is None:
        finest = _finest(setting)
        return (
            f"{baseline} does not get there on any grid of this study: even tuned on the finest "
            f"({ratio(finest['resolution'])}, {plural(int(finest['runs']), 'run')} per seed) it "
            f"stays {_behind(setting.tuned(baseline))} behind the best."
        )
    saved = row["runs_saved"]
    text = f"{baseline} needs a {ratio(base['resolution'])} grid for the same"
    if saved is None or saved <= 0:
        return f"{text}: on the range of this study that saves no run."
    return (
        f"{text}: that is {interval(saved, row['runs_saved_low'], row['runs_saved_high'])} "
        f"{'run' if saved == 1 else 'runs'} fewer per seed "
        f"({number(row['runs'])} instead of {number(base['runs'])})."
    )


def saves(setting: Setting, winner: str, row: Row) -> tuple[str, str]:
    baseline = setting.report.baseline
    if len(setting.schedules) == 1:
        return "unknown", "there is no other schedule"
    if winner == baseline:
        return "nothing", "the baseline itself tolerates the coarsest grid"
    if baseline not in setting.schedules or excluded(setting.tuned(baseline)):
        return "unknown", f"{baseline} supports no comparison here"
    if row["runs_saved"] is None:
        runs = int(_finest(setting)["runs"])
        saved = runs_saved(setting, row)[0] or 0.0
        if saved <= 0:
            return "nothing", f"but {baseline} never gets within the tolerance"
        return (
            f"≥ {number(saved)} of {runs} runs",
            f"per seed: tuned on all {runs} learning rates, {baseline} is still behind",
        )
    text = interval(row["runs_saved"], row["runs_saved_low"], row["runs_saved_high"])
    if row["runs_saved"] <= 0:
        return "nothing", f"{text} runs per seed against {baseline}"
    base = setting.tolerance(baseline, "best")
    return (
        f"{number(row['runs_saved'])} of {number(base['runs'])} runs",
        f"per seed, against {baseline}: {text}",
    )


def doubt(setting: Setting, winner: str) -> str:
    """What a headline must add where there are too few seeds for any claim."""
    seeds = int(setting.tuned(winner)["seeds"])
    if seeds >= LEAST_SEEDS:
        return ""
    return (
        f"With {plural(seeds, 'seed')} that is an observation, not a supported claim: "
        f"at least {LEAST_SEEDS} are needed."
    )


def runs_saved(setting: Setting, row: Row) -> tuple[float | None, bool]:
    """Runs per seed fewer than the baseline needs, and whether that is only a lower bound: a
    baseline that never gets within the tolerance needs more than all of the grid."""
    baseline = setting.report.baseline
    if row["runs_saved"] is not None:
        return row["runs_saved"], False
    if baseline not in setting.schedules or excluded(setting.tuned(baseline)):
        return None, False
    return _finest(setting)["runs"] - row["runs"], True


def how_sure(setting: Setting, winner: str, row: Row, sure: bool) -> tuple[str, str]:
    seeds = int(setting.tuned(winner)["seeds"])
    if seeds < LEAST_SEEDS:
        return "not supported", f"{plural(seeds, 'seed')}; a claim needs at least {LEAST_SEEDS}"
    low, high = row["resolution_low"], row["resolution_high"]
    alone = winner == setting.report.baseline or len(setting.schedules) == 1
    parts = [] if alone else [plural(seeds, "seed")]
    if low is not None and high is not None:
        parts.append(f"95 % interval of the grid {ratio(low)} to {ratio(high)}")
    if not alone and not same_grid(setting, winner):
        parts.append(f"not run at the same learning rates as {setting.report.baseline}")
    elif not sure and not alone:
        parts.append("the interval of what is saved does not leave out nothing")
    pair = setting.against_baseline(winner, int(row["every"]))
    if pair is not None and pair["confidence"] is not None:
        parts.append(
            f"better than {setting.report.baseline} on that grid in {percent(pair['confidence'])} "
            "of the resamples"
        )
    if alone:
        return plural(seeds, "seed"), "; ".join(parts)
    return ("supported" if sure else "not supported"), "; ".join(parts)


def supported(setting: Setting, winner: str, row: Row) -> bool:
    """Six seeds, the same grid, and an interval of what is saved that leaves out nothing."""
    baseline = setting.report.baseline
    if int(setting.tuned(winner)["seeds"]) < LEAST_SEEDS:
        return False
    if winner == baseline or not same_grid(setting, winner):
        return False
    base = setting.tuned(baseline)
    if excluded(base):
        return False
    if setting.tolerance(baseline, "best")["resolution"] is None:
        # never within ε of the best: so it must be at both ends of the interval of its distance
        low, runs = base["excess_over_best_low"], row["runs_high"]
        beyond = low is not None and low > row["epsilon_loss"]
        return beyond and runs is not None and runs < _finest(setting)["runs"]
    low = row["runs_saved_low"]
    return low is not None and low > 0


def same_grid(setting: Setting, winner: str) -> bool:
    """A schedule that skipped the learning rates where others fail would look robust."""
    return setting.learning_rates(winner) == setting.learning_rates(setting.report.baseline)


def _finest(setting: Setting) -> Row:
    """The grid as it was run."""
    return setting.regret(setting.schedules[0], 1)


def _lost(setting: Setting, winner: str, row: Row) -> str:
    """Loss of the worst offset against the best schedule; a gain counts as no loss."""
    regret = setting.regret(winner, int(row["every"]))
    ends = [regret[f"excess_worst{end}"] for end in ("", "_low", "_high")]
    return interval(*(None if end is None else max(end, 0.0) for end in ends))


def _behind(row: Row) -> str:
    return interval(*(row[f"excess_over_best{end}"] for end in ("", "_low", "_high")))


def excluded(row: Row) -> bool:
    return bool(row["edge"] or row["at_chance"])
