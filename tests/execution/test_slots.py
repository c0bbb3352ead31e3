"""Which device a worker sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robustlr.errors import SpecError
from robustlr.execution import Drive
from robustlr.execution.slots import (
    default_workers,
    require_gpus,
    slot_environments,
    visible_gpus,
)
from robustlr.records import RunPaths
from robustlr.specs import load_study
from robustlr.study import plan
from robustlr_cli.app import main
from tests.small_study import small_spec, write_study


@pytest.mark.parametrize(
    ("value", "gpus"),
    [("", []), ("-1", []), ("0", ["0"]), ("2,5", ["2", "5"]), ("GPU-ab", ["GPU-ab"])],
)
def test_visible_gpus_are_those_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, gpus: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == gpus


def test_gpus_are_counted_by_the_driver_s_own_tool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-5d)'\necho 'GPU 1: A (UUID: GPU-77)'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert visible_gpus() == ["0", "1"]
    tool.write_text("#!/bin/sh\necho no driver >&2\nexit 9\n")
    assert visible_gpus() == []


def seen(workers: int, **edits: object) -> list[str]:
    """What CUDA_VISIBLE_DEVICES is in each slot."""
    slots = slot_environments(small_spec(**edits), workers)
    return [slot["CUDA_VISIBLE_DEVICES"] for slot in slots]


def test_one_worker_per_gpu_each_with_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert default_workers(small_spec()) == 3
    assert seen(3) == ["4", "6", "7"]
    assert seen(2) == ["4", "6"]


def test_small_models_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    packed = {"execution": {"cells_per_gpu": 3}}
    assert default_workers(small_spec(**packed)) == 6
    assert seen(6, **packed) == ["4", "6", "4", "6", "4", "6"]
    assert seen(3, **packed) == ["4", "6", "4"]  # evenly, where not every slot is used


def test_cells_of_two_processes_take_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    two = {"training": {"processes_per_cell": 2}}
    assert default_workers(small_spec(**two)) == 2
    assert seen(2, **two) == ["0,1", "2,3"]
    both = two | {"execution": {"cells_per_gpu": 2}}
    assert default_workers(small_spec(**both)) == 4
    assert seen(4, **both) == ["0,1", "2,3", "0,1", "2,3"]


def test_fewer_devices_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    with pytest.raises(SpecError, match="5 workers ask for more GPUs than the 2 visible here"):
        seen(5)
    with pytest.raises(SpecError, match=r"room for 4: .* --cells-per-gpu, now 2"):
        seen(5, execution={"cells_per_gpu": 2})
    for call in (default_workers, lambda spec: slot_environments(spec, 1)):
        with pytest.raises(SpecError, match=r"asks for 4 GPUs .* and 2 can be used here \(4, 6\)"):
            call(small_spec(training={"processes_per_cell": 4}))


def test_a_worker_of_its_own_accord_sees_the_gpus_of_a_cell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path, more="processes_per_cell = 2")
    command = ["study", "worker", str(study), "--out", str(tmp_path / "run")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6")
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("robustlr: a cell asks for 2 GPUs (training.processes_per_cell), and 1 ")
    assert not (tmp_path / "run").exists()
    spec = load_study(study)
    for enough in ("", "4,6", "4,6,7"):  # none: it trains on the CPU
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", enough)
        require_gpus(spec)


@pytest.mark.slow
def test_the_slot_s_device_reaches_the_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    (tmp_path / "seeing.py").write_text(SEEING.format(folder=str(tmp_path / "seen")))
    spec = small_spec(workload={"factory": "seeing:make"})
    paths = RunPaths(tmp_path / "run")
    Drive(spec=spec, paths=paths, workers=2, folders=(tmp_path,)).run(lambda _: None)
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {"4", "6"}
    assert len(plan(spec, paths).done) == 8


SEEING = """\
import os, time
from pathlib import Path
from robustlr.workloads.logistic import Logistic

class Seeing(Logistic):
    def model(self, seed):
        seen = Path({folder!r})
        seen.mkdir(exist_ok=True)
        (seen / os.environ["CUDA_VISIBLE_DEVICES"]).touch()
        deadline = time.monotonic() + 60
        while len(list(seen.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the other worker has taken a cell too
        return super().model(seed)

def make():
    return Seeing(dim=3, samples=60)
"""


def test_without_gpus_the_cores_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("robustlr.execution.slots._cores", lambda: 8)
    assert default_workers(small_spec()) == 8
    assert default_workers(small_spec(execution={"threads_per_cell": 4})) == 2
    assert default_workers(small_spec(execution={"threads_per_cell": 16})) == 1
    four = small_spec(execution={"threads_per_cell": 4})
    assert slot_environments(four, 2) == [{"OMP_NUM_THREADS": "4"}] * 2
