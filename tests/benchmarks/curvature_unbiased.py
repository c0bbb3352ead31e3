"""Every estimator's trace against the matrix written down whole, in standard errors.

    PYTHONPATH=. OMP_NUM_THREADS=1 python tests/benchmarks/curvature_unbiased.py [REPORT.md]

The cases, draws and seeds are those of tests/curvature/test_against_dense.py, so that the numbers
are the same on every run of one machine. With REPORT.md, the table is written there too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from robustlr.curvature import Estimator, FiniteDifference, GaussNewton, Hutchinson
from robustlr.records import write_atomic
from tests.curvature.problems import (
    CASES,
    DRAWS,
    LABEL_DRAWS,
    dense_gauss_newton,
    dense_hessian,
    z_scores,
)

# In double precision a distance of 1e-6 leaves no error that these draws could see.
ESTIMATORS: tuple[Estimator, ...] = (Hutchinson(), FiniteDifference(distance=1e-6), GaussNewton())


def row(name: str) -> list[str]:
    """tr(H), then z of the trace and the number of draws by estimator."""
    case = CASES[name]()
    hessian = dense_hessian(case)
    cells = [name, f"{float(hessian.trace()):.4g}"]
    for estimator in ESTIMATORS:
        gauss_newton = isinstance(estimator, GaussNewton)
        draws = (LABEL_DRAWS if gauss_newton else DRAWS).get(name)
        if draws is None:
            cells.append("")
            continue
        truth = dense_gauss_newton(case) if gauss_newton else hessian
        cells.append(f"{z_scores(case, estimator, truth, draws)[0]:+.2f} of {draws}")
    return cells


def main(report: Path | None) -> None:
    torch.set_num_threads(1)
    lines = [
        "# Estimates of the trace against the dense matrix",
        "",
        "Made by `python tests/benchmarks/curvature_unbiased.py "
        "reports/curvature-overhead/unbiased.md`.",
        "",
        "z = (mean of the estimates − trace)/(its standard error), and of how many estimates of "
        "one probe; the trace is that of the Hessian, for gauss_newton that of the Gauss-Newton "
        "matrix (nothing where a case offers no labels to draw). Unbiased is |z| < 3.",
        "",
        "| problem | tr(H) | " + " | ".join(f"z, {e.name}" for e in ESTIMATORS) + " |",
        "|---|---:|" + "---:|" * len(ESTIMATORS),
    ]
    print(lines[-2])
    for name in CASES:
        lines.append(f"| {' | '.join(row(name))} |")
        print(lines[-1], flush=True)
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(report, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
