"""Memory that a call takes, counted byte by byte."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from torch.profiler import ProfilerActivity, profile


def most_allocated(run: Callable[[], object]) -> int:
    """Most bytes of tensors on the CPU at a time that `run` has added to those before it.

    Every allocation and release of torch's allocator is counted, temporary ones inside its
    operations too; what Python itself and libraries below torch hold is not.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    # The profiler's total starts from an arbitrary number: what is freed unseen stays in it.
    memory = [e["args"] for e in events if e.get("name") == "[memory]"]
    started = memory[0]["Total Allocated"] - memory[0]["Bytes"]
    return int(max(event["Total Allocated"] for event in memory) - started)
