"""The answer in words and numbers: which schedule, which grid, what it saves, how sure.

Every sentence is true of the frames it is made from. A schedule whose tuned learning rate lies at
an edge of its grid, or that learnt nothing, supports no claim and is named as such; with too few
seeds, or an interval that includes "nothing saved", the claim is called unsupported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustlr.report.numbers import (
    count,
    interval,
    listed,
    number,
    percent,
    plural,
    ratio,
)
from robustlr.report.setting import Row, Setting

LEAST_SEEDS = 6
"""Two-sided sign-flip tests over fewer seeds cannot reach p < 0.05: 2/2⁵ = 0.0625."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the four things the first screen tells."""

    question: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """headline: one or two sentences. facts: the headline at a glance. details: further sentences.

    caveats: what is excluded, doubtful or missing. winner: the schedule that the claim is about,
    None where there is no claim. supported: by the number of seeds and the intervals. saved: runs
    per seed against the baseline.
    """

    headline: str
    facts: tuple[Fact, ...] = ()
    details: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    winner: str | None = None
    supported: bool = False
    every: int | None = None
    resolution: float | None = None
    saved: float | None = None


def answer(setting: Setting) -> Answer:
    """The answer for one setting."""
    usable = [name for name in setting.schedules if not _excluded(setting.tuned(name))]
    caveats = [sentence(note, setting.schedules) for note in setting.notes]
    if not usable:
        return Answer(headline=_no_claim(setting), caveats=tuple(caveats))
    within = [name for name in usable if setting.tolerance(name, "best")["resolution"] is not None]
    if not within:
        return Answer(
            headline="No schedule comes within the tolerance of the best value on any grid of this "
            f"study{_unscaled(setting)}, so there is nothing to save.",
            caveats=tuple(caveats),
        )
    return _claim(setting, usable, within, caveats)


def _claim(setting: Setting, usable: list[str], within: list[str], caveats: list[str]) -> Answer:
    baseline = setting.report.baseline
    coarsest = max(setting.tolerance(name, "best")["every"] for name in within)
    tied = [name for name in within if setting.tolerance(name, "best")["every"] == coarsest]
    winner = min(tied, key=lambda name: setting.tuned(name)["value"])
    row = setting.tolerance(winner, "best")
    tuned = setting.tuned(winner)
    headline = [_tolerates(setting, winner, row)]
    if len(setting.schedules) == 1:
        headline.append("It is the only schedule, so there is nothing to compare it with.")
    elif len(tied) > 1 and baseline in tied:
        others = listed([name for name in tied if name != winner])
        headline.append(
            f"{others} {'tolerates' if len(tied) == 2 else 'tolerate'} the same grid: "
            f"nothing is saved over {baseline}; {winner} has the lowest tuned value of them."
        )
    elif winner == baseline:
        headline.append("That is the baseline: no other schedule tolerates as coarse a grid.")
    else:
        headline.append(_against_baseline(setting, winner, row))
    supported = _supported(setting, winner, row)
    facts = (
        Fact("Which schedule", winner, f"{setting.quantity} {_value(tuned)} when tuned"),
        Fact(
            "Which grid",
            ratio(row["resolution"]),
            f"{plural(int(row['runs']), 'learning rate')} for the range of this study",
        ),
        Fact("What it saves", *_saves(setting, winner, row)),
        Fact("How sure", *_how_sure(setting, winner, row, supported)),
    )
    return Answer(
        headline=" ".join(headline),
        facts=facts,
        details=tuple(_details(setting, winner, usable, int(row["every"]))),
        caveats=tuple(_whole_grid(setting, winner, row) + caveats),
        winner=winner,
        supported=supported,
        every=int(row["every"]),
        resolution=row["resolution"],
        saved=row["runs_saved"],
    )


def _tolerates(setting: Setting, winner: str, row: Row) -> str:
    """What the recommended schedule loses at most, and on which grid."""
    return (
        f"{winner} on a {ratio(row['resolution'])} grid loses at most "
        f"{_lost(setting, winner, row)} of {setting.quantity}, wherever the grid falls, against "
        f"the best tuned schedule (tolerated: {percent(row['epsilon'])} of the range between "
        f"chance and best, {number(row['epsilon_loss'])})."
    )


def _against_baseline(setting: Setting, winner: str, row: Row) -> str:
    """What the baseline needs for the same."""
    baseline = setting.report.baseline
    if baseline not in setting.schedules:
        return f"The baseline {baseline} has no runs here, so nothing can be saved against it."
    if _excluded(setting.tuned(baseline)):
        return f"{baseline}, the baseline, supports no claim here, so what that saves is unknown."
    base = setting.tolerance(baseline, "best")
    if base["resolution"] is None:
        finest = _finest(setting)
        return (
            f"{baseline} does not get there on any grid of this study: even tuned on the finest "
            f"({ratio(finest['resolution'])}, {plural(int(finest['runs']), 'run')} per seed) it "
            f"stays {number(setting.tuned(baseline)['excess_over_best'])} behind the best."
        )
    saved = row["runs_saved"]
    text = f"{baseline} needs a {ratio(base['resolution'])} grid for the same"
    if saved is None or saved <= 0:
        return f"{text}: on the range of this study that saves no run."
    return (
        f"{text}: that is {plural(round(saved), 'run')} fewer per seed "
        f"({count(row['runs'])} instead of {count(base['runs'])})."
    )


def _saves(setting: Setting, winner: str, row: Row) -> tuple[str, str]:
    baseline = setting.report.baseline
    if len(setting.schedules) == 1:
        return "unknown", "there is no other schedule"
    if winner == baseline:
        return "nothing", "the baseline itself tolerates the coarsest grid"
    if baseline not in setting.schedules or _excluded(setting.tuned(baseline)):
        return "unknown", f"{baseline} supports no comparison here"
    if row["runs_saved"] is None:
        runs = int(_finest(setting)["runs"])
        saved = runs - row["runs"]
        if saved <= 0:
            return "nothing", f"but {baseline} never gets within the tolerance"
        return (
            f"≥ {count(saved)} of {runs} runs",
            f"per seed: tuned on all {runs} learning rates, {baseline} is still behind",
        )
    text = interval(row["runs_saved"], row["runs_saved_low"], row["runs_saved_high"])
    if row["runs_saved"] <= 0:
        return "nothing", f"{text} runs per seed against {baseline}"
    base = setting.tolerance(baseline, "best")
    return (
        f"{count(row['runs_saved'])} of {count(base['runs'])} runs",
        f"per seed, against {baseline}: {text}",
    )


def _how_sure(setting: Setting, winner: str, row: Row, supported: bool) -> tuple[str, str]:
    seeds = int(setting.tuned(winner)["seeds"])
    if seeds < LEAST_SEEDS:
        return "not supported", f"{plural(seeds, 'seed')}; a claim needs at least {LEAST_SEEDS}"
    low, high = row["resolution_low"], row["resolution_high"]
    parts = [plural(seeds, "seed")]
    if low is not None and high is not None:
        parts.append(f"95 % interval of the grid {ratio(low)} to {ratio(high)}")
    if not supported and winner != setting.report.baseline and len(setting.schedules) > 1:
        parts.append("the interval of what is saved does not leave out nothing")
    pair = setting.against_baseline(winner, int(row["every"]))
    if pair is not None and pair["confidence"] is not None:
        parts.append(
            f"better than {setting.report.baseline} on that grid in {percent(pair['confidence'])} "
            "of the resamples"
        )
    return ("supported" if supported else "not supported"), "; ".join(parts)


def _supported(setting: Setting, winner: str, row: Row) -> bool:
    """Six seeds, and an interval of what is saved that leaves out nothing at all."""
    baseline = setting.report.baseline
    if int(setting.tuned(winner)["seeds"]) < LEAST_SEEDS:
        return False
    if winner == baseline or baseline not in setting.schedules:
        return False
    base = setting.tuned(baseline)
    if _excluded(base):
        return False
    if setting.tolerance(baseline, "best")["resolution"] is None:
        # never within ε of the best: so it must be at both ends of the interval of its distance
        low, runs = base["excess_over_best_low"], row["runs_high"]
        beyond = low is not None and low > row["epsilon_loss"]
        return beyond and runs is not None and runs < _finest(setting)["runs"]
    low = row["runs_saved_low"]
    return low is not None and low > 0


def _finest(setting: Setting) -> Row:
    """The grid as it was run."""
    return setting.regret(setting.schedules[0], 1)


def _details(setting: Setting, winner: str, usable: list[str], every: int) -> list[str]:
    """Further sentences: tuned values, own tolerances, the comparison at that resolution."""
    details = []
    ranked = sorted(usable, key=lambda name: setting.tuned(name)["value"])
    details.append(
        f"Tuned on the whole grid, {setting.quantity}: "
        + ", ".join(f"{name} {_value(setting.tuned(name))}" for name in ranked)
        + "."
    )
    own = [(name, setting.tolerance(name, "own")) for name in usable]
    known = [(name, row) for name, row in own if row["resolution"] is not None]
    if known:
        known.sort(key=lambda pair: -pair[1]["resolution"])
        details.append(
            f"Within {percent(setting.report.epsilon)} of its own tuned value each schedule "
            "tolerates: "
            + ", ".join(f"{name} {ratio(row['resolution'])}" for name, row in known)
            + "."
        )
    pair = setting.against_baseline(winner, every)
    if pair is not None and winner != setting.report.baseline:
        details.append(_paired(setting, winner, pair))
    return details


def _paired(setting: Setting, winner: str, pair: Row) -> str:
    baseline = setting.report.baseline
    difference = interval(pair["difference"], pair["difference_low"], pair["difference_high"])
    text = (
        f"Both tuned on a {ratio(pair['resolution'])} grid, {winner} differs from {baseline} by "
        f"{difference} in {setting.quantity} (negative: {winner} is better)"
    )
    if pair["probability"] is not None:
        text += f" and wins {percent(pair['probability'])} of the pairs of runs with the same seed"
    if int(setting.tuned(winner)["seeds"]) < LEAST_SEEDS:
        return f"{text}; so few seeds support no test."
    if pair["p_value"] is not None:
        text += f"; sign-flip test over seeds: p = {number(pair['p_value'], digits=2)}"
    return text + "."


def _whole_grid(setting: Setting, winner: str, row: Row) -> list[str]:
    if not row["whole_grid"]:
        return []
    return [
        f"{winner}: any single learning rate of the grid would do; a wider grid is needed to see "
        "how much it really tolerates."
    ]


def _no_claim(setting: Setting) -> str:
    rows = [setting.tuned(name) for name in setting.schedules]
    if all(row["at_chance"] for row in rows):
        return "No claim: no schedule does better than chance at any learning rate."
    if all(row["edge_side"] == "only" for row in rows):
        return "No claim: a grid of one learning rate says nothing about robustness to it."
    side = {"low": "below", "high": "above"}
    edges = sorted({side[row["edge_side"]] for row in rows if row["edge_side"] in side})
    return (
        "No claim: the tuned learning rate of every schedule lies at an end of its grid, or it "
        f"learnt nothing; add learning rates {listed(edges) if edges else 'on both sides'} "
        f"{'it' if edges else ''}".rstrip()
        + "."
    )


def _unscaled(setting: Setting) -> str:
    scale = setting.measures.tolerance["epsilon_loss"].drop_nulls()
    return "" if len(scale) and (scale > 0).any() else " (ε has no scale: chance and best agree)"


def _excluded(row: Row) -> bool:
    return bool(row["edge"] or row["at_chance"])


def _value(row: Row) -> str:
    return interval(row["value"], row["value_low"], row["value_high"])


def _lost(setting: Setting, winner: str, row: Row) -> str:
    """Loss of the worst offset against the best schedule; a gain counts as no loss."""
    regret = setting.regret(winner, int(row["every"]))
    ends = [regret[f"excess_worst{end}"] for end in ("", "_low", "_high")]
    return interval(*(None if end is None else max(end, 0.0) for end in ends))


def sentence(note: str, names: Sequence[str] = ()) -> str:
    """A note as a sentence; a name at its start stays as it is written.

    >>> sentence("one seed"), sentence("fixed diverged", ["fixed"])
    ('One seed.', 'fixed diverged.')
    """
    text = note.strip()
    if not text.startswith(tuple(names)):
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")
