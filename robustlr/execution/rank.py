"""One rank of a torchrun group: ``python -m robustlr.execution.rank CELL_JSON RESULT``."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from robustlr.errors import one_line
from robustlr.execution.lifeline import end_with_parent
from robustlr.records import write_result
from robustlr.specs import Cell
from robustlr.training import end_training, train
from robustlr.workloads import build_workload

ERROR_MARK = "robustlr: "


def main(cell_file: str, result: str) -> int:
    """Train this rank's part; rank 0 writes the result. Exit status 1 after an error."""
    end_with_parent()
    cell = Cell.from_table(json.loads(Path(cell_file).read_text(encoding="utf-8")))
    try:
        record, curve = train(cell, build_workload(cell.workload))
    except (Exception, SystemExit) as error:
        # no end_training here: the other ranks may wait in a collective, torchrun ends them
        traceback.print_exc()
        detail = one_line(f"{type(error).__name__}: {error}")
        print(f"{ERROR_MARK}{detail}", flush=True)
        return 1
    if os.environ.get("RANK", "0") == "0":
        write_result(Path(result), record, curve)
    end_training()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
