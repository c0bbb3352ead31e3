"""A valid study as the table a TOML file gives, to break in one place at a time."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

TOML = """\
question = "Which schedule forgives most?"
seeds = 3
batch_size = 64
num_steps = 400

[grid]
low = 1e-3
high = 10.0
points_per_decade = 4

[workload]
kind = "digits_mlp"
hidden = [64, 64]

[optimizer]
kind = "sgd"
momentum = 0.9

[training]
eval_every = 25

[execution]
threads_per_cell = 1

[[schedule]]
kind = "fixed"

[[schedule]]
kind = "warmup"
warmup_fraction = 0.1
then = "cosine"

[report]
baseline = "fixed"
"""
VALID: dict[str, Any] = tomllib.loads(TOML)


def edited(**changes: Any) -> dict[str, Any]:
    """VALID with keys replaced; "grid__low" is the key low of [grid]; None takes a key out."""
    table = copy.deepcopy(VALID)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = table
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return table


def write(folder: Path, text: str | bytes, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
