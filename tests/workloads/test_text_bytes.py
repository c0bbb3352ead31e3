"""The byte-level language model: bytes in, bits per byte out, no leak between splits."""

from __future__ import annotations

import math
import platform
from pathlib import Path
from typing import Any

import pytest
import torch

from robustlr.errors import DataError, SpecError
from robustlr.schedules import CurvatureAdaptive, parse
from robustlr.specs import AdamW, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.workloads import Split, build_workload
from robustlr.workloads.text_bytes import TextBytes
from robustlr.workloads.text_files import read_text

SMALL: dict[str, Any] = {"context": 8, "layers": 1, "width": 16, "heads": 2}


def write_text(folder: Path, *, files: int = 12, lines: int = 40) -> Path:
    """A small corpus: every file counts in its own step."""
    for step in range(1, files + 1):
        text = "".join(f"{k * step} is {k} times {step}\n" for k in range(lines))
        (folder / f"{step:02d}.txt").write_text(text)
    return folder


def cell_of(schedule: str, **options: Any) -> Cell:
    return Cell(
        workload=WorkloadSpec(kind="text_bytes", options=SMALL | options),
        optimizer=AdamW(),
        schedule=parse(schedule),
        batch_size=16,
        num_steps=60,
        lr_exponent="-2",
        seed=0,
        training=TrainingSpec(eval_every=30),
    )


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_windows_are_the_bytes_of_their_split(tmp_path: Path, split: Split) -> None:
    workload = TextBytes(path=str(write_text(tmp_path)), context=8, evaluation_windows=10**6)
    examples = workload.examples(split, 0)
    (windows,) = examples.batch(torch.arange(len(examples)))
    text = read_text(workload.path).parts[split]
    for position, window in enumerate(windows.tolist()):
        assert bytes(window) == text[8 * position : 8 * position + 9]


def test_evaluation_takes_no_more_windows_than_asked(tmp_path: Path) -> None:
    workload = TextBytes(path=str(write_text(tmp_path)), context=8, evaluation_windows=7)
    assert len(workload.examples("valid", 0)) == len(workload.examples("test", 0)) == 7
    assert len(workload.examples("train", 0)) > 700


def test_bits_per_byte_are_the_mean_loss_over_ln_2() -> None:
    workload = TextBytes()
    assert workload.metric == "bits_per_byte"
    assert workload.chance_loss == pytest.approx(8 * math.log(2))
    assert workload.metric_value(workload.chance_loss, 0.0) == pytest.approx(8.0)


def test_it_learns_and_says_from_what(tmp_path: Path) -> None:
    cell = cell_of("cosine", path=str(write_text(tmp_path)))
    record, _ = train(cell, build_workload(cell.workload))
    summary = record.summary
    assert summary.valid_loss is not None
    assert summary.valid_loss < 3.0  # chance is 5.5, the frequencies of the bytes alone 2.9
    assert summary.valid_metric == pytest.approx(summary.valid_loss / math.log(2))
    assert record.provenance["text"] == read_text(str(tmp_path)).version


def test_the_default_says_which_python_it_read() -> None:
    assert f"Python {platform.python_version()}" in TextBytes().provenance()["text"]


@pytest.mark.parametrize(
    "estimator", ["hutchinson", "gauss_newton", "finite_difference", "squared_gradient"]
)
def test_curvature_of_every_kind(tmp_path: Path, estimator: str) -> None:
    name = f"curvature_adaptive:estimator={estimator},every=20"
    cell = cell_of(name, path=str(write_text(tmp_path)))
    assert isinstance(cell.schedule, CurvatureAdaptive)
    record, curve = train(cell, build_workload(cell.workload))
    assert record.summary.valid_loss < 4.0  # type: ignore[operator]
    assert curve["curvature_trace"].drop_nulls().is_finite().all()
    assert len(curve["curvature_trace"].drop_nulls())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"evaluation_windows": 0}, "evaluation_windows must be at least 1, got 0"),
        ({"width": 10, "heads": 3}, "heads must divide width, got 3 and 10"),
        ({"path": 3}, "path: must be text, got 3"),
        ({"contxt": 3}, "contxt: unknown key; did you mean 'context'?"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_workload(WorkloadSpec(kind="text_bytes", options=options))
    assert str(caught.value) == f"workload 'text_bytes': {message}"


def test_a_text_too_short_for_a_window(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("twenty characters of")
    workload = TextBytes(path=str(tmp_path / "short.txt"), context=8)
    assert len(workload.examples("train", 0)) == 1
    with pytest.raises(DataError, match=r"short.txt: 1 file, 20 bytes.*: 2 tokens are too few"):
        workload.examples("valid", 0)
