"""How a report was made, from the records of its runs."""

from __future__ import annotations

import dataclasses

from robustlr.report import mixed_code, run_provenance
from tests.small_study import record_of, small_spec

RECORDS = [
    dataclasses.replace(record_of(cell), provenance={"workload_code": code, "device": "cpu"})
    for cell, code in zip(small_spec().cells(), ["old"] * 5 + ["new"] * 3, strict=True)
]


def test_circumstances_are_counted() -> None:
    assert run_provenance(RECORDS) == [
        {"device": "cpu", "workload_code": "old", "runs": 5},
        {"device": "cpu", "workload_code": "new", "runs": 3},
    ]


def test_code_that_changed_between_runs_is_a_caveat() -> None:
    assert mixed_code(RECORDS[:5]) == mixed_code(RECORDS[5:]) == []
    (caveat,) = mixed_code(RECORDS)
    assert caveat.startswith(
        "The code of workload 'logistic' changed between runs: 5 runs by old, 3 runs by new."
    )
