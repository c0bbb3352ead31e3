"""Every measure against the slow pandas reference, on small random grids, ragged ones included."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import special

from robustlr.measures import Measures, measure
from robustlr.measures.resampling import expanded_quantile, make_plan
from robustlr.specs import ReportSpec
from tests.measures.grids import exponential_curves, random_rows, results
from tests.measures.reference import Values, reference

REPORT = ReportSpec(epsilon=0.1)
KEYS = {
    "tuned": ["schedule"],
    "per_lr": ["schedule", "lr_index"],
    "misspecification": ["schedule", "shift"],
    "regret": ["schedule", "every"],
    "tolerance": ["schedule", "reference"],
    "sensitivity": ["schedule", "window"],
    "exponent": ["schedule"],
    "pairwise": ["schedule", "other", "every"],
    "speedup": ["schedule", "shift"],
}


def looked_up(found: Measures, key: tuple[object, ...], suffix: str = "") -> float:
    """The cell of a frame that a reference key names; NaN for null."""
    name, *labels, column = key
    frame = getattr(found, str(name))
    for label_column, label in zip(KEYS[str(name)], labels, strict=True):
        frame = frame.filter(pl.col(label_column) == label)
    assert len(frame) == 1, (key, len(frame))
    value = frame[f"{column}{suffix}"][0]
    return float("nan") if value is None else float(value)


def compared(found: Measures, expected: Values) -> None:
    for key, value in expected.items():
        np.testing.assert_allclose(
            looked_up(found, key), value, rtol=1e-9, atol=1e-9, err_msg=str(key)
        )


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("on", ["loss", "metric"])
@pytest.mark.parametrize("seed", range(3))
def test_values_equal_the_reference(seed: int, ragged: bool, on: str) -> None:
    rows = random_rows(np.random.default_rng(seed), ragged=ragged)
    data = results(rows, exponential_curves(rows))
    found = measure(data, REPORT, on=on, resamples=2)  # type: ignore[arg-type]
    expected = reference(data, REPORT, on=on)
    assert {key[0] for key in expected} >= {"tuned", "per_lr", "regret", "sensitivity"}
    compared(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_intervals_equal_the_reference(seed: int) -> None:
    """Every interval again from the reference, one resample at a time."""
    resamples = 10
    rows = random_rows(np.random.default_rng(100 + seed), ragged=seed % 2 == 1, widest=6)
    data = results(rows, exponential_curves(rows))
    found = measure(data, REPORT, resamples=resamples)
    seeds = sorted({int(row["seed"]) for row in rows})  # type: ignore[call-overload]
    plan = make_plan(len(seeds), resamples=resamples)
    drawn = [
        reference(data, REPORT, seeds=np.repeat(seeds, weights.astype(int)).tolist())
        for weights in plan.plain.report[1 : 1 + resamples]
    ]
    checked = 0
    for key, value in reference(data, REPORT).items():
        if key[-1] in ("valid_loss", "p_value") or np.isnan(value):
            continue
        draws = np.array([one.get(key, np.nan) for one in drawn])
        draws = np.sort(draws[~np.isnan(draws)])
        support = support_of(rows, key)
        if support < 2:
            assert np.isnan(looked_up(found, key, "_low"))
            continue
        medians = key[0] == "speedup"
        level = 0.025 if medians else special.ndtr(-expanded_quantile(support))
        low = draws[max(int(np.floor(level * (len(draws) + 1))) - 1, 0)]
        high = draws[min(int(np.ceil((1 - level) * (len(draws) + 1))) - 1, len(draws) - 1)]
        bounds = [looked_up(found, key, end) for end in ("_low", "_high")]
        expected = [min(low, value), max(high, value)]
        np.testing.assert_allclose(bounds, expected, rtol=1e-9, atol=1e-9, err_msg=str(key))
        checked += 1
    assert checked > 20 or len(seeds) < 2


def support_of(rows: list[dict[str, object]], key: tuple[object, ...]) -> int:
    """Seeds behind a key's interval: the median over learning rates, the lesser of a pair."""
    schedules = [label for label in key[1:3] if label in {row["schedule"] for row in rows}]
    counts = []
    for schedule in schedules:
        mine = [row["lr_index"] for row in rows if row["schedule"] == schedule]
        counts.append(int(np.median([mine.count(lr) for lr in set(mine)])))
    return min(counts)
