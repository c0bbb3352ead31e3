"""What a packaged study costs is known before its data is there."""

from __future__ import annotations

import pytest

from robustlr.execution import training_flops
from robustlr.specs import load_study, packaged_studies

EMBEDDED = {"digits_mlp", "logistic", "absolute_regression", "text_bytes"}
STUDIES = {name: load_study(path) for name, path in packaged_studies().items()}
OF_THE_PAPERS = [
    name
    for name, spec in STUDIES.items()
    if not name.endswith("-smoke") and not EMBEDDED & {w.kind for w in spec.workload}
]


@pytest.mark.parametrize("name", OF_THE_PAPERS)
def test_a_study_without_its_data_is_counted(name: str) -> None:
    flops = training_flops(STUDIES[name].cells())
    hours = flops / 1e14 / 3600
    assert 10 < hours < 10_000, f"{hours:.0f} GPU-hours at 100 TFLOP/s"


def test_wide_resnet_has_the_published_cost() -> None:
    """WRN-28-10: 5.2 billion multiply-adds an image of 32 × 32 (arXiv 1605.07146, table 4)."""
    spec = STUDIES["cifar10-annealing"]
    cell = next(spec.cells())
    per_example = training_flops([cell]) / (3 * cell.batch_size * cell.num_steps)
    assert per_example / 2 == pytest.approx(5.2e9, rel=0.02)
