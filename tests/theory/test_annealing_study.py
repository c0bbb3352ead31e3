"""The study files of the theory: what they must cover for its claims."""

import math

import pytest

from robustlr.specs import StudySpec, find_study_file, load_study
from robustlr.theory import designed_schedule, predicted


@pytest.fixture(scope="module")
def annealing() -> StudySpec:
    return load_study(find_study_file("annealing"))


def test_it_covers_what_the_theory_speaks_of(annealing: StudySpec) -> None:
    labels = set(annealing.schedule_labels)
    assert {"fixed", "inverse_sqrt", "linear", "cosine", "wsd"} < labels
    assert {"polynomial:degree=2", "polynomial:degree=3"} < labels
    assert {workload.kind for workload in annealing.workload} == {"absolute_regression", "logistic"}
    assert len(annealing.seeds) >= 10
    assert len(annealing.num_steps) >= 3
    assert math.log10(annealing.grid.high / annealing.grid.low) >= 6
    assert all(predicted(schedule) is not None for schedule in annealing.schedule)


def test_its_table_is_the_one_that_is_designed(annealing: StudySpec) -> None:
    assert annealing.schedule[-1] == designed_schedule(100.0)


def test_the_smoke_study_is_a_part_of_it(annealing: StudySpec) -> None:
    smoke = load_study(find_study_file("annealing-smoke"))
    keys = {cell.key for cell in annealing.cells()}
    assert {cell.key for cell in smoke.cells()} < keys
