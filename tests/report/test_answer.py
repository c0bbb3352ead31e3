"""The words of the answer are true in every case a study can end in."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl
import pytest

from robustlr.measures import measure
from robustlr.records import Results
from robustlr.report.answer import Answer, answer
from robustlr.report.overall import overall
from robustlr.report.setting import Setting, settings_of
from robustlr.specs import ReportSpec
from tests.report.synthetic import VALLEYS, Valley, synthetic

NARROW = Valley(floor=0.10, slope=0.5, right=0.5, cliff=2.0)
WIDE = Valley(floor=0.10, slope=0.02, right=0.02, cliff=2.0)


def settings(results: Results, *, baseline: str = "fixed", **options: Any) -> list[Setting]:
    spec = ReportSpec(baseline=baseline, **options)
    return settings_of(results, measure(results, spec, resamples=200), spec)


def only(results: Results, **options: Any) -> tuple[Setting, Answer]:
    (setting,) = settings(results, **options)
    return setting, answer(setting)


def text(given: Answer) -> str:
    facts = [part for fact in given.facts for part in (fact.value, fact.detail)]
    return " ".join([given.headline, *facts, *given.details, *given.caveats])


def value_of(given: Answer, question: str) -> str:
    return next(fact.value for fact in given.facts if fact.question == question)


def test_a_wider_valley_with_the_same_floor_saves_runs() -> None:
    setting, given = only(synthetic({"fixed": NARROW, "cosine": WIDE}, noise=0.001))
    row = setting.tolerance("cosine", "best")
    base = setting.tolerance("fixed", "best")
    assert given.winner == "cosine"
    assert given.supported
    assert given.saved == base["runs"] - row["runs"] > 0
    assert given.headline.startswith("cosine on a ")
    assert f"({row['runs']:.0f} instead of {base['runs']:.0f})" in given.headline
    assert value_of(given, "What it saves") == f"{given.saved:.0f} of {base['runs']:.0f} runs"
    assert value_of(given, "How sure") == "supported"
    assert row["loses_at_most"] <= row["epsilon_loss"]


def test_a_baseline_that_never_gets_there_is_said_and_the_saving_is_a_bound() -> None:
    poor = dataclasses.replace(NARROW, floor=0.4)
    setting, given = only(synthetic({"fixed": poor, "cosine": WIDE}, noise=0.001))
    assert "fixed does not get there on any grid" in given.headline
    runs = setting.tolerance("cosine", "best")["runs"]
    assert value_of(given, "What it saves") == f"≥ {17 - runs:.0f} of 17 runs"
    assert given.supported


def test_where_only_the_finest_grid_will_do_it_is_not_called_tolerant() -> None:
    steep = Valley(floor=0.1, slope=9.0, right=9.0, power=1.0, cliff=9.0)
    _, given = only(
        synthetic({"fixed": dataclasses.replace(steep, floor=0.4), "cosine": steep}, noise=0.001)
    )
    assert given.every == 1
    assert given.headline.startswith("No grid coarser than the one that was run (1.78×, 17 ")
    assert value_of(given, "What it saves") == "nothing"


def test_the_baseline_can_win() -> None:
    _, given = only(synthetic({"fixed": WIDE, "cosine": NARROW}, noise=0.001))
    assert given.winner == "fixed"
    assert "That is the baseline" in given.headline
    assert value_of(given, "What it saves") == "nothing"
    assert not given.supported


def test_equal_schedules_save_nothing() -> None:
    _, given = only(synthetic({"fixed": NARROW, "cosine": NARROW}, noise=0.0))
    assert "the same grid: nothing is saved over fixed" in given.headline
    assert not given.supported


def test_one_schedule_has_nothing_to_be_compared_with() -> None:
    _, given = only(synthetic({"fixed": NARROW}))
    assert "nothing to compare it with" in given.headline
    assert given.winner == "fixed"
    assert not given.supported


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_too_few_seeds_support_no_claim(seeds: int) -> None:
    _, given = only(synthetic({"fixed": NARROW, "cosine": WIDE}, seeds=seeds, noise=0.001))
    assert "not a supported claim" in given.headline
    assert value_of(given, "How sure") == "not supported"
    assert not given.supported
    assert "p =" not in text(given)


def test_intervals_that_include_nothing_are_not_supported() -> None:
    similar = dataclasses.replace(NARROW, slope=0.45, right=0.45)
    setting, given = only(synthetic({"fixed": NARROW, "cosine": similar}, noise=0.03))
    row = setting.tolerance(given.winner or "", "best")
    if given.winner != "fixed" and row["runs_saved_low"] is not None:
        assert given.supported == (row["runs_saved_low"] > 0)
    else:
        assert not given.supported


def test_one_learning_rate_says_nothing_about_robustness() -> None:
    _, given = only(synthetic(indices=[-4]))
    assert given.headline.startswith("No claim: a grid of one learning rate")
    assert given.winner is None


def test_all_diverged() -> None:
    dead = {name: dataclasses.replace(valley, cliff=-9) for name, valley in VALLEYS.items()}
    _, given = only(synthetic(dead))
    assert given.headline.startswith("No claim: no schedule does better than chance")
    assert any("diverged" in caveat for caveat in given.caveats)


def test_optima_at_an_edge_are_excluded_and_named() -> None:
    beyond = dataclasses.replace(WIDE, optimum=3.0, floor=0.05, cliff=9.0)
    setting, given = only(
        synthetic({"fixed": NARROW, "cosine": WIDE, "linear": beyond}, noise=0.001)
    )
    assert setting.tuned("linear")["edge"]
    assert given.winner != "linear"
    assert any(c.startswith("the tuned learning rate of linear") or "linear" in c
               for c in given.caveats)  # fmt: skip


def test_every_optimum_at_an_edge_is_no_claim() -> None:
    _, given = only(synthetic(indices=range(-3, 5), valleys={
        "fixed": dataclasses.replace(NARROW, optimum=-3), "cosine": dataclasses.replace(
            WIDE, optimum=-3)}))  # fmt: skip
    assert given.headline.startswith("No claim: the tuned learning rate of every schedule")
    assert "below" in given.headline


def test_a_baseline_at_an_edge_leaves_the_saving_unknown() -> None:
    edge = dataclasses.replace(NARROW, optimum=3.0, cliff=9.0)
    _, given = only(synthetic({"fixed": edge, "cosine": WIDE}, noise=0.001))
    assert given.winner == "cosine"
    assert "what that saves is unknown" in given.headline
    assert value_of(given, "What it saves") == "unknown"
    assert not given.supported


def test_a_schedule_that_skipped_learning_rates_supports_no_claim() -> None:
    results = synthetic({"fixed": NARROW, "cosine": WIDE}, noise=0.001)
    skipped = (pl.col("schedule") == "cosine") & (pl.col("lr_index") > 0)
    _, given = only(dataclasses.replace(results, runs=results.runs.filter(~skipped)))
    assert given.winner == "cosine"
    assert not given.supported
    assert "not run at the same learning rates as fixed" in text(given)


def test_a_baseline_without_runs_is_said() -> None:
    _, given = only(synthetic({"linear": NARROW, "cosine": WIDE}, noise=0.001))
    assert "fixed has no runs here" in given.headline
    assert not given.supported


def test_constant_values_have_no_scale() -> None:
    results = synthetic({"fixed": NARROW, "cosine": WIDE})
    flat = results.runs.with_columns(
        status=pl.lit("completed"),
        **{name: pl.lit(2.303) for name in ("valid_loss", "test_loss")},
    )
    _, given = only(dataclasses.replace(results, runs=flat))
    assert given.winner is None
    assert given.headline.startswith("No ")


def test_negative_losses_have_an_answer_too() -> None:
    _, given = only(synthetic({"fixed": NARROW, "cosine": WIDE}, shift=-5.0, noise=0.001))
    assert given.winner == "cosine"
    assert given.supported


@pytest.mark.parametrize("seeds", [1, 6])
def test_no_sentence_holds_a_raw_nan(seeds: int) -> None:
    for results in (synthetic(seeds=seeds), synthetic(seeds=seeds, indices=[-4, -3])):
        _, given = only(results)
        for word in text(given).replace("[", " ").replace("]", " ").split():
            assert word.strip(",.;()%×") not in ("nan", "None", "inf", "-inf")


def together(results: Results, **options: Any) -> Answer:
    parts = settings(results, **options)
    score = measure(results, parts[0].report, resamples=50).score
    return overall(parts, [answer(part) for part in parts], score)


def test_over_settings_the_usual_winner_is_named_with_the_safe_grid() -> None:
    results = synthetic({"fixed": NARROW, "cosine": WIDE}, settings=["a", "b", "c"], noise=0.001)
    parts = [answer(part) for part in settings(results)]
    given = together(results)
    assert given.winner == "cosine"
    assert given.resolution == min(part.resolution or 0 for part in parts)
    assert "in 3 of 3 settings" in given.headline
    assert value_of(given, "How sure") == "supported"


def test_over_settings_a_baseline_that_never_gets_there_bounds_the_saving() -> None:
    valleys = {"fixed": dataclasses.replace(NARROW, floor=0.4), "cosine": WIDE}
    results = synthetic(valleys, settings=["a", "b"], noise=0.001)
    given = together(results)
    assert "saves at least " in given.headline
    assert value_of(given, "What it saves").startswith("≥ ")


def test_over_settings_a_tie_is_called_one() -> None:
    first = synthetic({"fixed": NARROW, "cosine": WIDE}, settings=["a"], noise=0.001)
    second = synthetic({"fixed": WIDE, "cosine": NARROW}, settings=["b"], noise=0.001)
    runs = pl.concat([first.runs, second.runs.with_columns(pl.col("key") + "b")])
    curves = pl.concat([first.curves, second.curves.with_columns(pl.col("key") + "b")])
    given = together(dataclasses.replace(first, runs=runs, curves=curves))
    assert given.headline.startswith("No schedule wins throughout")
    assert "cosine and fixed" in given.headline
    assert not given.supported


def test_over_settings_without_any_claim() -> None:
    given = together(synthetic(indices=[-4], settings=["a", "b"]))
    assert given.headline.startswith("No claim: none of the 2 settings")
    assert "a and b" in given.caveats[0]
