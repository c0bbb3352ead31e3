"""Optimisation problems: ours, and yours as a subclass of `Workload`."""

from robustlr.workloads.base import Batch, Examples, Split, TensorExamples, Workload
from robustlr.workloads.classification import Classification
from robustlr.workloads.registry import (
    build_workload,
    describe_workloads,
    workload_class,
    workload_names,
)

__all__ = [
    "Batch",
    "Classification",
    "Examples",
    "Split",
    "TensorExamples",
    "Workload",
    "build_workload",
    "describe_workloads",
    "workload_class",
    "workload_names",
]
