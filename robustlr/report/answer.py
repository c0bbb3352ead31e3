"""The answer in words and numbers: which schedule, which grid, what it saves, how sure.

Every sentence is true of the frames it is made from. A schedule whose tuned learning rate lies at
an edge of its grid, or that learnt nothing, supports no claim and is named as such; with too few
seeds, or an interval that includes "nothing saved", the claim is called unsupported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustlr.measures.sign_flip import LEAST_SEEDS
from robustlr.report.claim import (
    against_baseline,
    doubt,
    excluded,
    how_sure,
    runs_saved,
    saves,
    supported,
    tolerates,
)
from robustlr.report.numbers import (
    interval,
    listed,
    number,
    percent,
    plural,
    ratio,
)
from robustlr.report.setting import Row, Setting


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
    per seed against the baseline, or at least so many (saved_is_bound).
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
    saved_is_bound: bool = False


def answer(setting: Setting) -> Answer:
    """The answer for one setting."""
    usable = [name for name in setting.schedules if not excluded(setting.tuned(name))]
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
    headline = [tolerates(setting, winner, row)]
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
        if len(tied) > 1:
            others = listed([name for name in tied if name != winner])
            verb = "tolerates" if len(tied) == 2 else "tolerate"
            headline.append(f"{others} {verb} the same grid, with a higher tuned value.")
        headline.append(against_baseline(setting, row))
    sure = supported(setting, winner, row)
    saved, bound = runs_saved(setting, row)
    facts = (
        Fact("Which schedule", winner, f"{setting.quantity} {_value(tuned)} when tuned"),
        Fact(
            "Which grid",
            ratio(row["resolution"]),
            f"{plural(int(row['runs']), 'learning rate')} for the range of this study",
        ),
        Fact("What it saves", *saves(setting, winner, row)),
        Fact("How sure", *how_sure(setting, winner, row, sure)),
    )
    return Answer(
        headline=" ".join(filter(None, [*headline, doubt(setting, winner)])),
        facts=facts,
        details=tuple(_details(setting, winner, usable, int(row["every"]))),
        caveats=tuple(_whole_grid(winner, row) + _moving_best(setting) + caveats),
        winner=winner,
        supported=sure,
        every=int(row["every"]),
        resolution=row["resolution"],
        saved=saved,
        saved_is_bound=bound,
    )


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


def _moving_best(setting: Setting) -> list[str]:
    """The yardstick may itself lie at an edge."""
    best = [name for name in setting.schedules if setting.tuned(name)["best"]]
    if not best or not setting.tuned(best[0])["edge"]:
        return []
    return [
        f"The best tuned value is that of {best[0]}, whose learning rate lies at an end of its "
        "grid: it may get better still, and every distance to the best larger."
    ]


def _whole_grid(winner: str, row: Row) -> list[str]:
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


def _value(row: Row) -> str:
    return interval(row["value"], row["value_low"], row["value_high"])


def sentence(note: str, names: Sequence[str] = ()) -> str:
    """A note as a sentence; a name at its start stays as it is written.

    >>> sentence("one seed"), sentence("fixed diverged", ["fixed"])
    ('One seed.', 'fixed diverged.')
    """
    text = note.strip()
    if not text.startswith(tuple(names)):
        text = text[:1].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")
