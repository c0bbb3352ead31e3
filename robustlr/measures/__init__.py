"""Measures of a study's results, as Polars frames."""

from robustlr.measures.assemble import Measures, measure

__all__ = ["Measures", "measure"]
