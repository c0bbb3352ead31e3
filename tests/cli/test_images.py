"""Studies on photographs in folders as a user runs them, and what can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustlr_cli.app import main
from tests.small_study import write_study
from tests.workloads.datasets_on_disk import write_imagefolder

PHOTOS = """\
kind = "imagenet"
path = "photos"
classes = 3
size = 8
valid_share = 0.25
network_options = { embedding_size = 8, hidden_sizes = [8, 16], depths = [1, 1] }
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_imagefolder(tmp_path / "photos", splits={"train": 12, "validation": 4})
    return tmp_path


def study(folder: Path, workload: str = PHOTOS) -> str:
    return str(write_study(folder, seeds=1, num_steps=6, high=0.1, workload=workload))


@pytest.mark.slow
def test_a_corrupt_photograph_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = here / "photos" / "train" / "class_1" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:200])
    assert main(["study", "run", study(here), "--workers", "1"]) == 1
    error = capsys.readouterr().err
    assert "3.jpg) cannot be decoded" in " ".join(error.split())
    assert "Traceback" not in error
    assert not list((here / "runs" / "small" / "cells").iterdir()), "before any cell runs"


@pytest.mark.slow
def test_data_that_is_not_here_says_how_to_get_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study(here, 'kind = "cifar10"\nnetwork = "wrn-10-1"')
    assert main(["study", "run", path, "--workers", "1"]) == 1
    error = capsys.readouterr().err
    assert "hf download uoft-cs/cifar10 --repo-type dataset" in " ".join(error.split())
    assert "Traceback" not in error


def test_an_unknown_network_is_refused_before_any_cell(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study(here, 'kind = "hf_image_classification"\narchitecture = "resent"')
    assert main(["study", "run", path, "--workers", "1"]) == 1
    assert "did you mean 'resnet' or 'regnet'?" in " ".join(capsys.readouterr().err.split())
