"""One rank of a group that trains several cells in turn: ``... ranks.py CELLS_JSON FOLDER``.

Every rank writes its own result, so that a test can see whether they agree.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from robustlr.records import write_result
from robustlr.specs import Cell
from robustlr.training import end_training, train
from robustlr.workloads import build_workload


def main(cells_file: str, folder: str) -> None:
    for number, table in enumerate(json.loads(Path(cells_file).read_text())):
        cell = Cell.from_table(table)
        record, curve = train(cell, build_workload(cell.workload))
        write_result(Path(folder) / f"{number}-{os.environ['RANK']}.parquet", record, curve)
    end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
