"""Measures and figures as a report folder."""

from robustlr.report.build import build_report
from robustlr.report.making import MADE_WITH, run_provenance

__all__ = ["MADE_WITH", "build_report", "run_provenance"]
