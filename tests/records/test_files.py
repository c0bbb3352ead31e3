"""Results are whole or not there; what is damaged is said in one line."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from robustlr.errors import DataError, StorageError
from robustlr.records import (
    CURVE_SCHEMA,
    RunPaths,
    RunRecord,
    RunStatus,
    RunSummary,
    empty_curve,
    read_curve,
    read_json,
    read_record,
    read_spec,
    write_atomic,
    write_json,
    write_result,
)
from robustlr.specs import StudySpec
from tests.records.results import curve_of, record_of
from tests.specs.tables import VALID

READERS: list[Callable[[Path], Any]] = [read_record, read_curve]
readers = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "cell.parquet"
    write_result(path, record_of(), curve_of(rows=40))
    return path


@pytest.mark.parametrize("telemetry", [(), ("curvature_trace", "another")])
@pytest.mark.parametrize(
    "record",
    [
        record_of(),
        record_of(status=RunStatus.DIVERGED, summary=RunSummary(steps=3)),
        record_of(status=RunStatus.FAILED, facts=None, reason="no network: 'é'\u2028"),
    ],
    ids=lambda record: str(record.status),
)
def test_what_is_written_is_read(
    tmp_path: Path, record: RunRecord, telemetry: tuple[str, ...]
) -> None:
    path, curve = tmp_path / "cell.parquet", curve_of(telemetry=telemetry)
    write_result(path, record, curve)
    assert read_record(path) == record
    assert read_record(path).cell.key == record.cell.key
    assert_frame_equal(read_curve(path), curve)
    assert_frame_equal(pl.read_parquet(path), curve)  # plain Parquet for everybody else
    assert os.listdir(tmp_path) == ["cell.parquet"]


def test_an_empty_curve(tmp_path: Path) -> None:
    write_result(tmp_path / "cell.parquet", record_of(), empty_curve())
    assert dict(read_curve(tmp_path / "cell.parquet").schema) == CURVE_SCHEMA


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_full_disk_loses_nothing(
    result: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    before = result.read_bytes()
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(StorageError) as caught:
        write_result(result, record_of(reason="newer"), curve_of())
    line = str(caught.value)
    assert line.startswith(f"{result}: cannot be written: {os.strerror(number)}; nothing already")
    assert "\n" not in line
    assert result.read_bytes() == before
    assert os.listdir(result.parent) == ["cell.parquet"]


def test_a_disk_that_fills_up_while_writing(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = result.read_bytes()

    class Full:
        def __init__(self, path: Path, mode: str) -> None:
            self.file = open(path, mode)  # noqa: SIM115

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("robustlr.files.open", Full, raising=False)
    with pytest.raises(StorageError, match="No space left on device"):
        write_atomic(result, b"newer" * 100)
    assert result.read_bytes() == before
    assert os.listdir(result.parent) == ["cell.parquet"]


def test_two_writers_of_one_process_id_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in two containers that share a folder."""
    replace = os.replace

    def overtaken(source: Any, target: Any) -> None:
        monkeypatch.undo()
        write_atomic(tmp_path / "file", b"of the other")
        assert (tmp_path / "file").read_bytes() == b"of the other"
        replace(source, target)

    monkeypatch.setattr(os, "replace", overtaken)
    write_atomic(tmp_path / "file", b"ours")
    assert (tmp_path / "file").read_bytes() == b"ours"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        write_atomic(tmp_path / "no" / "file", b"data")


def test_a_process_killed_before_the_rename_leaves_the_old(result: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    before = result.read_bytes()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            write_result(result, record_of(reason="newer"), curve_of())
    assert result.read_bytes() == before
    # what it left behind is not taken for a result, and is written over by nobody else
    assert [path.name for path in result.parent.glob("*.parquet")] == ["cell.parquet"]


def whole(path: Path) -> bytes:
    return path.read_bytes()


def with_metadata(path: Path, metadata: dict[str, str]) -> bytes:
    copy = path.with_suffix(".copy")
    curve_of().write_parquet(copy, metadata=metadata)
    return copy.read_bytes()


DAMAGE: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda path: b"",
    "cut in half": lambda path: whole(path)[: len(whole(path)) // 2],
    "last byte gone": lambda path: whole(path)[:-1],
    "only the head": lambda path: whole(path)[:4],
    "garbage": lambda path: bytes(range(256)) * 8,
    "text": lambda path: b"not Parquet at all\n" * 30,
    "footer of another length": lambda path: whole(path)[:-8] + b"\xff\xff\xff\x7f" + b"PAR1",
    "zeros where a block was lost": lambda path: whole(path)[:-200] + bytes(200),
}
NO_RECORD: dict[str, Callable[[Path], bytes]] = {
    "no record": lambda path: with_metadata(path, {}),
    "record of another kind": lambda path: with_metadata(path, {"robustlr.record": "[1, 2]"}),
    "record cut": lambda path: with_metadata(path, {"robustlr.record": '{"cell": {"work'}),
    "record with an unknown key": lambda path: with_metadata(
        path, {"robustlr.record": json.dumps({**record_of().table(), "more": 1})}
    ),
    "record with a wrong type": lambda path: with_metadata(
        path, {"robustlr.record": json.dumps({**record_of().table(), "status": "fine"})}
    ),
}
OTHER_TABLE: dict[str, Callable[[], pl.DataFrame]] = {
    "a column is missing": lambda: curve_of().drop("lr"),
    "a column has another type": lambda: curve_of().with_columns(pl.col("step").cast(pl.Float64)),
    "another table": lambda: pl.DataFrame({"x": [1]}),
}


def assert_damaged(path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: is damaged or no result file (runs/NAME/cells/")
    assert "\n" not in str(caught.value)


@readers
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file(result: Path, read: Callable[[Path], Any], damage: str) -> None:
    result.write_bytes(DAMAGE[damage](result))
    assert_damaged(result, read)


@pytest.mark.parametrize("damage", NO_RECORD)
def test_a_file_with_a_wrong_record(result: Path, damage: str) -> None:
    result.write_bytes(NO_RECORD[damage](result))
    assert_damaged(result, read_record)


@pytest.mark.parametrize("damage", OTHER_TABLE)
def test_a_file_with_another_table(result: Path, damage: str) -> None:
    write_result(result, record_of(), OTHER_TABLE[damage]())
    assert_damaged(result, read_curve)


@readers
def test_a_file_that_is_not_there(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(DataError, match=r"none.parquet: no such result file"):
        read(tmp_path / "none.parquet")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "cell.parquet").mkdir()
    assert_damaged(tmp_path / "cell.parquet", read_record)


@readers
def test_nothing_is_ever_unpickled(result: Path, read: Callable[[Path], Any]) -> None:
    result.write_bytes(pickle.dumps(record_of().table()))
    assert_damaged(result, read)


def test_json_there_and_back(tmp_path: Path) -> None:
    value = {"b": [1, None, "é", math.inf]}  # a study file may say timeout_seconds = inf
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"a": 1'])
def test_damaged_json(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(DataError, match=r"a.json: is damaged") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_missing_json(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.json: cannot be read: No such file"):
        read_json(tmp_path / "a.json")


def test_the_spec_of_a_study_folder(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    with pytest.raises(DataError, match="no study here; `robustlr study run` makes one"):
        read_spec(paths)
    spec = StudySpec.from_table(VALID)
    write_json(paths.spec, spec.table())
    assert read_spec(paths) == spec
