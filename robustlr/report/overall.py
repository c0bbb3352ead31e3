"""One answer over several settings: workloads, optimizers, batch sizes, horizons."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import polars as pl

from robustlr.report.answer import Answer, Fact
from robustlr.report.numbers import interval, listed, number, plural, ratio
from robustlr.report.setting import Setting


def overall(settings: Sequence[Setting], answers: Sequence[Answer], score: pl.DataFrame) -> Answer:
    """The answer of a study: that of its only setting, or what holds over several.

    score: SCORE_SCHEMA, over the settings.
    """
    if len(settings) == 1:
        return answers[0]
    claims = [(s, a) for s, a in zip(settings, answers, strict=True) if a.winner is not None]
    silent = len(settings) - len(claims)
    caveats = []
    if silent:
        names = listed([s.name for s, a in zip(settings, answers, strict=True) if not a.winner])
        caveats.append(f"{plural(silent, 'setting')} of {len(settings)} support no claim: {names}.")
    if not claims:
        return Answer(
            headline=f"No claim: none of the {len(settings)} settings supports one.",
            caveats=tuple(caveats),
        )
    wins = _tally([a.winner or "" for _, a in claims])
    most = max(wins.values())
    leaders = [name for name, times in wins.items() if times == most]
    baseline = settings[0].report.baseline
    details = [
        "Coarsest grid within the tolerance of the best schedule, by setting: "
        + "; ".join(f"{s.name}: {a.winner}, {ratio(a.resolution)}" for s, a in claims)
        + "."
    ]
    details += _score_sentence(score)
    supported = sum(a.supported for _, a in claims)
    if len(leaders) > 1:
        headline = (
            f"No schedule wins throughout: over {len(settings)} settings {listed(leaders)} "
            f"tolerate the coarsest grid in {most} each."
        )
        return Answer(
            headline=headline,
            facts=(
                Fact(
                    "Which schedule",
                    "it depends",
                    f"{listed(leaders)}: {plural(most, 'setting')} each",
                ),
                Fact("How sure", *_how_sure(supported, len(settings))),
            ),
            details=tuple(details),
            caveats=tuple(caveats),
        )
    return _leader(settings, claims, leaders[0], baseline, supported, details, caveats)


def _leader(
    settings: Sequence[Setting],
    claims: Sequence[tuple[Setting, Answer]],
    leader: str,
    baseline: str,
    supported: int,
    details: list[str],
    caveats: list[str],
) -> Answer:
    won = [(s, a) for s, a in claims if a.winner == leader]
    safe = min(a.resolution for _, a in won if a.resolution is not None)
    saved = [a.saved for _, a in won if a.saved is not None]
    least = "at least " if any(a.saved_is_bound for _, a in won) else ""
    headline = (
        f"{leader} tolerates the coarsest grid in {len(won)} of {len(settings)} settings: "
        f"there a {ratio(safe)} grid stays within the tolerance of the best tuned schedule every "
        "time."
    )
    text = "unknown"
    detail = f"{baseline} supports no comparison in these settings"
    if leader == baseline:
        headline += " That is the baseline: nothing is saved."
        text, detail = "nothing", "the baseline itself tolerates the coarsest grid most often"
    elif saved:
        middle = statistics.median(saved)
        if middle > 0:
            text = f"{'≥ ' if least else ''}{number(middle)} runs per seed"
            headline += (
                f" Against {baseline} that saves {least}{number(middle)} runs per seed "
                f"(median; {number(min(saved))} to {number(max(saved))})."
            )
        else:
            text = "nothing"
            headline += f" Against {baseline} the median saving is no run at all."
        detail = f"median of {plural(len(saved), 'setting')}, against {baseline}"
    missing = len(won) - len(saved)
    if missing and leader != baseline:
        caveats.append(
            f"In {plural(missing, 'setting')} that {leader} wins, {baseline} supports no claim, so "
            "runs saved are unknown there."
        )
    return Answer(
        headline=headline,
        facts=(
            Fact("Which schedule", leader, f"best in {len(won)} of {len(settings)} settings"),
            Fact("Which grid", ratio(safe), "the finest that it needs where it wins"),
            Fact("What it saves", text, detail),
            Fact("How sure", *_how_sure(supported, len(settings))),
        ),
        details=tuple(details),
        caveats=tuple(caveats),
        winner=leader,
        supported=supported == len(settings),
        resolution=safe,
    )


def _how_sure(supported: int, settings: int) -> tuple[str, str]:
    if supported == settings:
        return "supported", f"in all {settings} settings"
    if supported == 0:
        return "not supported", f"in any of the {settings} settings"
    return f"{supported} of {settings}", "settings support their claim"


def _score_sentence(score: pl.DataFrame) -> list[str]:
    rows = score.filter(pl.col("unit") == "updates").sort("score", descending=True)
    known = [row for row in rows.iter_rows(named=True) if row["score"] is not None]
    if not known:
        return []
    parts = [
        f"{row['schedule']} {interval(row['score'], row['score_low'], row['score_high'])}"
        for row in known
    ]
    return [
        f"Time to target in updates, score over {number(known[0]['settings'])} settings "
        f"(1: always the fastest): {', '.join(parts)}."
    ]


def _tally(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in dict.fromkeys(names)}
