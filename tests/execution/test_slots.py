"""Which device a worker sees."""

from __future__ import annotations

import pytest

from robustlr.execution.slots import default_workers, slot_environments, visible_gpus
from tests.small_study import small_spec


@pytest.mark.parametrize(
    ("value", "gpus"),
    [("", []), ("-1", []), ("0", ["0"]), ("2,5", ["2", "5"]), ("GPU-ab", ["GPU-ab"])],
)
def test_visible_gpus_are_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, gpus: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == gpus


def test_one_worker_per_gpu_each_with_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    spec = small_spec()
    assert default_workers(spec) == 3
    seen = [slot["CUDA_VISIBLE_DEVICES"] for slot in slot_environments(spec, 4)]
    assert seen == ["4", "6", "7", "4"]


def test_cells_of_two_processes_take_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    spec = small_spec(training={"processes_per_cell": 2})
    assert default_workers(spec) == 2
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slot_environments(spec, 2)] == ["0,1", "2,3"]


def test_without_gpus_the_cores_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("robustlr.execution.slots._cores", lambda: 8)
    assert default_workers(small_spec()) == 8
    assert default_workers(small_spec(execution={"threads_per_cell": 4})) == 2
    assert default_workers(small_spec(execution={"threads_per_cell": 16})) == 1
    four = small_spec(execution={"threads_per_cell": 4})
    assert list(slot_environments(four, 2)) == [{"OMP_NUM_THREADS": "4"}] * 2
