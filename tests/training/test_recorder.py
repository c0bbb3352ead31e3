"""The curve while it grows."""

from __future__ import annotations

import math

import polars as pl
import pytest

from robustlr.records import CURVE_SCHEMA
from robustlr.training.recorder import CurveRecorder, Evaluation


def evaluation(valid: float, test: float = 1.0) -> Evaluation:
    return Evaluation(valid, test, valid / 10, test / 10)


def test_telemetry_becomes_columns_behind_the_others() -> None:
    recorder = CurveRecorder()
    recorder.add_row(0, evaluation=evaluation(2.0))
    recorder.add_row(1, telemetry={"trace": 3.0, "a": math.nan})
    curve = recorder.curve()
    assert curve.columns == [*CURVE_SCHEMA, "a", "trace"]
    assert curve["trace"].to_list() == [None, 3.0]
    assert curve["a"].to_list() == [None, None]
    assert curve.schema["trace"] == pl.Float64()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_null(value: float) -> None:
    recorder = CurveRecorder()
    recorder.add_row(0, evaluation=evaluation(value), grad_norm=value)
    curve = recorder.curve()
    assert curve["valid_loss"].to_list() == curve["grad_norm"].to_list() == [None]
    assert recorder.summary(0).initial_valid_loss is None
    assert recorder.summary(0).best_valid_loss is None


def test_losses_are_averaged_between_rows() -> None:
    recorder = CurveRecorder()
    recorder.add_row(0)
    for loss in (1.0, 2.0, 6.0):
        recorder.add_loss(loss)
    recorder.add_row(3)
    recorder.add_loss(5.0)
    recorder.add_row(4)
    assert recorder.curve()["train_loss"].to_list() == [None, 3.0, 5.0]


def test_the_summary_has_first_best_and_last() -> None:
    recorder = CurveRecorder()
    for step, (valid, test) in enumerate([(3.0, 4.0), (1.0, 2.0), (2.0, 0.5)]):
        recorder.add_row(step, evaluation=evaluation(valid, test))
    summary = recorder.summary(2)
    assert (summary.initial_valid_loss, summary.initial_test_loss) == (3.0, 4.0)
    assert (summary.best_valid_loss, summary.best_test_loss) == (1.0, 2.0)
    assert (summary.valid_loss, summary.test_loss) == (2.0, 0.5)
    assert (summary.valid_metric, summary.test_metric) == (0.2, 0.05)


def test_zero_is_a_number() -> None:
    recorder = CurveRecorder()
    recorder.add_row(0, evaluation=Evaluation(0.0, 0.0, 0.0, 0.0))
    summary = recorder.summary(0)
    assert summary.valid_loss == summary.best_valid_loss == summary.initial_test_loss == 0.0


@pytest.mark.parametrize(("ended", "steps"), [(5, [0, 5]), (7, [0, 5, 7])])
def test_a_diverged_run_has_no_final_value_and_no_row_twice(ended: int, steps: list[int]) -> None:
    recorder = CurveRecorder()
    for step in (0, 5):
        recorder.add_row(step, evaluation=evaluation(2.0 - step / 10))
    recorder.diverge(ended, 0.1)
    summary = recorder.summary(ended)
    assert recorder.curve()["step"].to_list() == steps
    assert summary.valid_loss is None
    assert summary.test_metric is None
    assert summary.best_valid_loss == 1.5
