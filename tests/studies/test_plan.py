"""What a packaged study costs is known before its data is there, and is what the README says."""

from __future__ import annotations

import re

import pytest

from robustlr.execution import training_flops
from robustlr.specs import load_study, packaged_studies
from tests.readme import ROOT

EMBEDDED = {"digits_mlp", "logistic", "absolute_regression", "text_bytes"}
STUDIES = {name: load_study(path) for name, path in packaged_studies().items()}
OF_THE_PAPERS = [
    name
    for name, spec in STUDIES.items()
    if not name.endswith("-smoke") and not EMBEDDED & {w.kind for w in spec.workload}
]
_ROW = re.compile(r"^\| `(.+?)` \| .+ \| ([\d,]+) \| (\d+) \|$", re.MULTILINE)
TOLD = {
    name: (int(cells.replace(",", "")), cost)
    for name, cells, cost in _ROW.findall((ROOT / "studies/README.md").read_text(encoding="utf-8"))
}
"""Cells, and minutes or GPU-hours, of every study of the README's tables."""


def test_the_readme_tells_of_every_study() -> None:
    papers = {f"{name}-smoke" for name in OF_THE_PAPERS}  # told with the studies they stand for
    assert set(TOLD) == set(STUDIES) - papers
    assert {name: told[0] for name, told in TOLD.items()} == {
        name: sum(1 for _ in STUDIES[name].cells()) for name in TOLD
    }


@pytest.mark.parametrize("name", OF_THE_PAPERS)
def test_a_study_without_its_data_is_counted(name: str) -> None:
    flops = training_flops(STUDIES[name].cells())
    assert f"{flops / 1e14 / 3600:.0f}" == TOLD[name][1], "GPU-hours at 100 TFLOP/s"


def test_photographs_are_decoded_by_more_than_one_process() -> None:
    for name in OF_THE_PAPERS:
        if "imagenet" in {workload.kind for workload in STUDIES[name].workload}:
            assert STUDIES[name].execution.threads_per_cell >= 8


def test_wide_resnet_has_the_published_cost() -> None:
    """WRN-28-10: 5.2 billion multiply-adds an image of 32 × 32 (arXiv 1605.07146, table 4)."""
    spec = STUDIES["cifar10-annealing"]
    cell = next(spec.cells())
    per_example = training_flops([cell]) / (3 * cell.batch_size * cell.num_steps)
    assert per_example / 2 == pytest.approx(5.2e9, rel=0.02)
