"""The value a study ranks its runs by."""

from __future__ import annotations

import math

import pytest

from robustlr.errors import SpecError
from robustlr.records import RunRecord, RunStatus, RunSummary, WorkloadFacts
from tests.records.results import record_of


@pytest.mark.parametrize(
    ("status", "loss", "expected"),
    [
        (RunStatus.COMPLETED, 0.5, 0.5),
        (RunStatus.COMPLETED, 2.3, 2.3),
        (RunStatus.COMPLETED, 1e30, 2.3),
        (RunStatus.COMPLETED, None, 2.3),
        (RunStatus.COMPLETED, 0.0, 0.0),
        (RunStatus.COMPLETED, -1.0, -1.0),
        (RunStatus.DIVERGED, None, 2.3),
        (RunStatus.DIVERGED, 0.1, 2.3),
        (RunStatus.FAILED, None, 2.3),
    ],
)
def test_it_is_finite_and_at_most_the_loss_at_chance(
    status: RunStatus, loss: float | None, expected: float
) -> None:
    record = record_of(
        status=status,
        summary=RunSummary(valid_loss=loss),
        facts=WorkloadFacts(chance_loss=2.3),
    )
    assert record.value == expected


def test_without_facts_there_is_nothing_to_clip_at() -> None:
    assert record_of(facts=None, status=RunStatus.FAILED).value == math.inf


def test_table_and_back() -> None:
    record = record_of()
    assert RunRecord.from_table(record.table()) == record


@pytest.mark.parametrize("gone", ["cell", "status"])
def test_a_record_lacks_nothing(gone: str) -> None:
    table = record_of().table()
    del table[gone]
    with pytest.raises(SpecError, match=f"record: {gone}: is required"):
        RunRecord.from_table(table)
