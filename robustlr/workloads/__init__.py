"""Optimisation problems: ours, and yours as a subclass of `Workload`."""

from robustlr.workloads.base import Batch, Examples, Split, TensorExamples, Workload
from robustlr.workloads.classification import Classification
from robustlr.workloads.code import code_hash
from robustlr.workloads.registry import (
    build_workload,
    describe_workloads,
    workload_class,
    workload_names,
)
from robustlr.workloads.streams import Draw, Request, StreamedExamples, stream

__all__ = [
    "Batch",
    "Classification",
    "Draw",
    "Examples",
    "Request",
    "Split",
    "StreamedExamples",
    "TensorExamples",
    "Workload",
    "build_workload",
    "code_hash",
    "describe_workloads",
    "stream",
    "workload_class",
    "workload_names",
]
