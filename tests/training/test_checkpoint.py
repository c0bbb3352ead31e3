"""The file of a checkpoint: whole and ours, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robustlr.errors import DataError
from robustlr.training.checkpoint import read_checkpoint, write_checkpoint

OURS = {"cell": "abc", "torch": "2.13", "ranks": "2", "device": "cpu"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "abc.safetensors"
    tensors = {"t0": torch.arange(3.0), "t1": torch.tensor(2, dtype=torch.int64)}
    write_checkpoint(path, OURS, {"step": 4, "lr": float("inf")}, tensors)
    return path


def test_what_is_written_is_read(written: Path) -> None:
    values, tensors = read_checkpoint(written, OURS)
    assert values == {"step": 4, "lr": float("inf")}
    assert torch.equal(tensors["t0"], torch.arange(3.0))
    assert tensors["t1"].dtype == torch.int64
    tensors["t0"].add_(1.0)  # their own memory, not the file's
    assert torch.equal(read_checkpoint(written, OURS)[1]["t0"], torch.arange(3.0))


@pytest.mark.parametrize("name", OURS)
def test_another_run_s_is_refused_with_the_difference(written: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"of another run \({name} {OURS[name]}, here else\)"):
        read_checkpoint(written, OURS | {name: "else"})


def test_every_truncation_is_refused(written: Path) -> None:
    content = written.read_bytes()
    for length in range(0, len(content), 7):
        written.write_bytes(content[:length])
        with pytest.raises(DataError, match="damaged"):
            read_checkpoint(written, OURS)


def test_every_flipped_byte_is_refused(written: Path) -> None:
    content = written.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x21
        written.write_bytes(damaged)
        with pytest.raises(DataError):
            read_checkpoint(written, OURS)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_checkpoint(tmp_path / "none", OURS)
