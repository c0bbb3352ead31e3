"""A run that was interrupted and went on is the run that was not, to the bit."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import nn

from robustlr.errors import CellStoppedError
from robustlr.records import RunStatus, read_curve, read_record
from robustlr.schedules import schedule_types
from robustlr.specs import (
    SGD,
    AdamW,
    Cell,
    FactoryOptimizer,
    OptimizerSpec,
    PytorchOptimizer,
    ShardingSpec,
    WorkloadSpec,
)
from robustlr.training import Checkpoints, train
from robustlr.workloads import build_workload
from tests.training.cells import digits_cell, sample_cell
from tests.training.interrupted import Noisy, in_new_process, seed_anew, stop_within, without_time
from tests.workloads.samples import Regression

OPTIMIZERS: dict[str, OptimizerSpec] = {
    "sgd": SGD(momentum=0.9),
    "adamw": AdamW(weight_decay=0.1),
    "adamp": PytorchOptimizer(name="adamp"),
}
AVERAGING: dict[str, OptimizerSpec] = {  # evaluated at other weights than those they train at
    "schedule-free": PytorchOptimizer(name="ScheduleFreeAdamW"),
    "splus": PytorchOptimizer(name="SPlus"),
}
STOPS = (11, 13)  # updates before each interruption; the evaluations are between them


# Both interruptions fall into the warmup where lr_exponent is 2, one into the decay where it is 3.
FINDS = "auto_warmup:max_warmup_fraction=0.9,after='constant',patience=2"


def noisy_cell(
    schedule: str, optimizer: str = "sgd", *, lr_exponent: str | None = None, **training: object
) -> Cell:
    cell = digits_cell(
        schedule,
        num_steps=36,
        lr_exponent=lr_exponent or ("-1" if optimizer == "sgd" else "-2"),
        optimizer=(OPTIMIZERS | AVERAGING)[optimizer],
        **{"eval_every": 10, "log_every": 3} | training,  # type: ignore[arg-type]
    )
    workload = WorkloadSpec(factory="tests.training.interrupted:Noisy")
    return dataclasses.replace(cell, workload=workload)


EVERY = {
    f"{schedule} {optimizer}": noisy_cell(schedule, optimizer)
    for schedule, optimizer in itertools.product(sorted(schedule_types()), OPTIMIZERS)
} | {
    "frequent estimates": noisy_cell("curvature_adaptive:every=4"),
    "frequent estimates, warmed up": noisy_cell("curvature_adaptive:every=4+warmup", "adamw"),
    "a warmup that finds its minimum": noisy_cell(FINDS, lr_exponent="2"),
    "an exploding warmup": noisy_cell(FINDS, lr_exponent="3"),
    "accumulated": noisy_cell("cosine", accumulation_steps=2),
    "bf16, clipped": noisy_cell("cosine", "adamw", precision="bf16", clip_norm=0.5),
    "averaged": noisy_cell("cosine", ema_decay=0.9),
    "averaged, schedule-free": noisy_cell("fixed", "schedule-free", ema_decay=0.9),
    **{name: noisy_cell("fixed", name) for name in AVERAGING},
    "built in evaluation mode": dataclasses.replace(
        noisy_cell("cosine"),
        workload=WorkloadSpec(factory="tests.training.interrupted:NoisyInEvaluation"),
    ),
}


def uninterrupted(cell: Cell) -> tuple[dict[str, object], pl.DataFrame]:
    seed_anew()
    return without_time(*train(cell, build_workload(cell.workload)))


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every cell of EVERY, made by three processes in turn."""
    folder = tmp_path_factory.mktemp("resumed")
    for stop in STOPS:
        in_new_process(list(EVERY.values()), folder, stop)
        assert not list(folder.glob("*.parquet"))
    in_new_process(list(EVERY.values()), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_run_of_three_processes_is_that_of_one(name: str, resumed: Path) -> None:
    result = resumed / f"{list(EVERY).index(name)}-0.parquet"
    record, curve = without_time(read_record(result), read_curve(result))
    ours, our_curve = uninterrupted(EVERY[name])
    assert record == ours
    assert_frame_equal(curve, our_curve, check_exact=True)


@pytest.mark.slow
def test_two_ranks_go_on_as_two_ranks(tmp_path: Path) -> None:
    cells = [
        noisy_cell(schedule, optimizer, processes_per_cell=2)
        for schedule, optimizer in [("cosine", "sgd"), ("curvature_adaptive:every=4", "adamw")]
    ]
    cells.append(noisy_cell("cosine", processes_per_cell=2, ema_decay=0.9))
    sharded = noisy_cell("cosine", processes_per_cell=2, accelerate_config=ShardingSpec())
    cells.append(sharded)
    (tmp_path / "whole").mkdir()
    in_new_process(cells, tmp_path / "whole", ranks=2)
    # rank 0 alone is told: the ranks agree where to stop
    said = in_new_process(cells, tmp_path, 16, ranks=2)
    assert not list(tmp_path.glob("*.parquet"))
    told = f"cell {sharded.key}: cannot be checkpointed: learner.model.0.weight is cut over"
    assert told in said
    said = in_new_process(cells, tmp_path, ranks=2)
    assert said.count("goes on from update 17") == len(cells) - 1
    for number, rank in itertools.product(range(len(cells)), range(2)):
        name = f"{number}-{rank}.parquet"
        mine, whole = read_record(tmp_path / name), read_record(tmp_path / "whole" / name)
        record, curve = without_time(mine, read_curve(tmp_path / name))
        other, other_curve = without_time(whole, read_curve(tmp_path / "whole" / name))
        assert record == other
        assert_frame_equal(curve, other_curve, check_exact=True)


def test_wall_time_carries_on(tmp_path: Path) -> None:
    cell, path = noisy_cell("cosine"), tmp_path / "c"
    with pytest.raises(CellStoppedError, match="stopped after update 31"):
        train(cell, Noisy(), Checkpoints(path=path, stop=stop_within(30)))
    _, curve = train(cell, Noisy(), Checkpoints(path=path))
    assert curve["wall_seconds"].is_sorted()
    assert curve["wall_seconds"][-1] > curve["wall_seconds"][-3]


def test_a_checkpoint_every_so_many_updates(tmp_path: Path) -> None:
    path, seen = tmp_path / "c", set()

    def look() -> bool:
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        return False

    cell = noisy_cell("cosine")
    train(cell, Noisy(), Checkpoints(path=path, every=10, stop=look))
    assert len(seen) == 3  # after 10, 20 and 30 of 36 updates
    notes: list[str] = []
    train(cell, Noisy(), Checkpoints(path=path, note=notes.append))
    assert notes == [f"cell {cell.key}: goes on from update 30"]


def test_a_run_that_keeps_none_writes_none(tmp_path: Path) -> None:
    train(noisy_cell("cosine"), Noisy(), Checkpoints(path=tmp_path / "c"))
    assert not list(tmp_path.iterdir())


def test_told_to_stop_in_the_last_update_is_too_late(tmp_path: Path) -> None:
    cell = noisy_cell("cosine")
    stopping = Checkpoints(path=tmp_path / "c", stop=stop_within(cell.num_steps - 1))
    assert train(cell, Noisy(), stopping)[0].status is RunStatus.COMPLETED


def interrupted(cell: Cell, path: Path) -> None:
    with pytest.raises(CellStoppedError):
        train(cell, build_workload(cell.workload), Checkpoints(path=path, stop=stop_within(3)))


def starts_anew(cell: Cell, path: Path) -> str:
    """The note of a run that finds a bad file at `path`; its result is that of a whole run."""
    notes: list[str] = []
    seed_anew()
    workload = build_workload(cell.workload)
    made = without_time(*train(cell, workload, Checkpoints(path=path, note=notes.append)))
    record, curve = uninterrupted(cell)
    assert made[0] == record
    assert_frame_equal(made[1], curve, check_exact=True)
    (note,) = notes
    assert note.startswith(f"{path}: ")
    assert note.endswith("; the cell starts anew")
    return note.removeprefix(f"{path}: ").removesuffix("; the cell starts anew")


def test_a_checkpoint_of_another_cell(tmp_path: Path) -> None:
    other, cell = noisy_cell("cosine"), noisy_cell("fixed")
    interrupted(other, tmp_path / "c")
    said = starts_anew(cell, tmp_path / "c")
    assert said == f"is of another run (cell {other.key}, here {cell.key})"


def test_a_checkpoint_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(noisy_cell("cosine"), tmp_path / "c")
    monkeypatch.setattr("robustlr.__version__", "9.9")
    said = starts_anew(noisy_cell("cosine"), tmp_path / "c")
    assert said.startswith("is of another run (robustlr ")


def test_a_checkpoint_cut_in_half(tmp_path: Path) -> None:
    path = tmp_path / "c"
    interrupted(noisy_cell("cosine"), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert starts_anew(noisy_cell("cosine"), path) == "is damaged, or no checkpoint"


@pytest.mark.parametrize("share", [0.001, 0.2, 0.6, 0.999])
def test_a_checkpoint_with_a_flipped_bit(tmp_path: Path, share: float) -> None:
    path = tmp_path / "c"
    interrupted(noisy_cell("cosine"), path)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    assert starts_anew(noisy_cell("cosine"), path).startswith("is damaged")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path(tmp_path / "exploded").touch, ()  # type: ignore[return-value]

    torch.save(Bomb(), tmp_path / "c")
    assert starts_anew(noisy_cell("cosine"), tmp_path / "c") == "is damaged, or no checkpoint"
    assert not (tmp_path / "exploded").exists()


def test_a_model_that_its_author_has_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(sample_cell(), tmp_path / "c")
    monkeypatch.setattr(Regression, "model", lambda self, seed: nn.Linear(self.dim, 1, bias=False))
    assert starts_anew(sample_cell(), tmp_path / "c") == "is of another model"


def test_an_optimizer_that_cannot_be_kept_costs_the_checkpoint_alone(tmp_path: Path) -> None:
    optimizer = FactoryOptimizer(factory="tests.training.test_keeper:secretive")
    cell, notes = dataclasses.replace(sample_cell(), optimizer=optimizer), list[str]()
    checkpoints = Checkpoints(path=tmp_path / "c", every=2, note=notes.append)
    record, _ = train(cell, build_workload(cell.workload), checkpoints)
    assert record.status is RunStatus.COMPLETED
    assert not list(tmp_path.iterdir())
    (note,) = notes
    assert note == (
        f"cell {cell.key}: cannot be checkpointed: "
        "learner.optimizer.attributes.generator is a Generator"
    )


def secretive(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(parameters, lr=lr)
    optimizer.generator = torch.Generator()  # type: ignore[attr-defined]
    return optimizer


def test_a_full_disk_costs_the_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    cell, notes = noisy_cell("cosine"), list[str]()
    train(cell, Noisy(), Checkpoints(path=tmp_path / "c", every=20, note=notes.append))
    (note,) = notes
    assert "No space left on device" in note
    assert not list(tmp_path.iterdir())
