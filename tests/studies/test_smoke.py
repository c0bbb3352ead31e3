"""Every study that has a small variant really runs, to its report, from its packaged file.

Data comes in the form its owner ships it, made here; a study file is changed in nothing but where
its data lies.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from robustlr.records import RunPaths
from robustlr.specs import load_study, packaged_studies
from tests.workloads.datasets_on_disk import write_cifar10, write_cifar100, write_imagefolder
from tests.workloads.texts_on_disk import write_wikitext_files

SMOKES = sorted(name for name in packaged_studies() if name.endswith("-smoke"))
DATA: dict[str, Callable[[Path], object]] = {
    "ILSVRC/imagenet-1k": lambda path: write_imagefolder(
        path, splits={"train": 24, "validation": 6}
    ),
    "Salesforce/wikitext": write_wikitext_files,
    "uoft-cs/cifar10": write_cifar10,
    "uoft-cs/cifar100": write_cifar100,
}
"""Who makes the small data in place of a data set of the hub."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKES)
def test_a_smoke_study_runs_to_its_report(name: str, tmp_path: Path) -> None:
    text = packaged_studies()[name].read_text(encoding="utf-8")
    for hub_id, write in DATA.items():
        if f'"{hub_id}"' in text:
            write(tmp_path / "data" / hub_id)
            text = text.replace(f'"{hub_id}"', f'"data/{hub_id}"')
    study = tmp_path / f"{name}.toml"
    study.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "robustlr_cli.app", "study", "run", str(study)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    paths = RunPaths(tmp_path / "runs" / name)
    assert done.stdout.splitlines()[-1] == f"runs/{name}/report/report.html"
    runs = pl.read_parquet(paths.report / "runs.parquet")
    spec = load_study(study)
    assert len(runs) == sum(1 for _ in spec.cells())
    assert set(runs["schedule"]) == set(spec.schedule_labels)


@pytest.mark.parametrize("name", SMOKES)
def test_a_smoke_study_stands_for_a_full_one(name: str) -> None:
    small, full = (load_study(packaged_studies()[n]) for n in (name, name.removesuffix("-smoke")))
    assert {w.kind for w in small.workload} <= {w.kind for w in full.workload}
    assert {o.label for o in small.optimizer} <= {o.label for o in full.optimizer}
    assert {s.kind for s in small.schedule} <= {s.kind for s in full.schedule}
    assert small.training.precision == full.training.precision
