"""Measures and figures as a report folder."""

from robustlr.report.build import build_report
from robustlr.report.making import MADE_WITH, mixed_code, run_provenance

__all__ = ["MADE_WITH", "build_report", "mixed_code", "run_provenance"]
