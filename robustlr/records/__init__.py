"""What runs leave behind, on disk and as frames."""

from robustlr.files import write_atomic
from robustlr.records.files import (
    CURVE_SCHEMA,
    empty_curve,
    read_curve,
    read_json,
    read_record,
    read_result,
    read_spec,
    standing_result,
    write_json,
    write_result,
)
from robustlr.records.frames import RUN_SCHEMA, Results, empty_curves, load_results, run_frame
from robustlr.records.paths import RunPaths
from robustlr.records.record import RunRecord, RunStatus, RunSummary, WorkloadFacts
from robustlr.records.remote import Remote, pull_results, push_results, remote_of

__all__ = [
    "CURVE_SCHEMA",
    "RUN_SCHEMA",
    "Remote",
    "Results",
    "RunPaths",
    "RunRecord",
    "RunStatus",
    "RunSummary",
    "WorkloadFacts",
    "empty_curve",
    "empty_curves",
    "load_results",
    "pull_results",
    "push_results",
    "read_curve",
    "read_json",
    "read_record",
    "read_result",
    "read_spec",
    "remote_of",
    "run_frame",
    "standing_result",
    "write_atomic",
    "write_json",
    "write_result",
]
