"""Results beside the local folder: put whole, fetched before anything is planned or measured."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from robustlr.errors import StorageError
from robustlr.records import Remote, RunPaths, RunStatus, empty_curve, read_record, write_result
from robustlr.specs import StudySpec
from robustlr.study import Watch, join, plan, prepare, record_failure, work
from tests.records.stores import FOLDER, register
from tests.small_study import record_of, result_files, runner, small_spec


@pytest.fixture(params=["memory://bucket/small", "dir::file://{folder}", "objects://bucket/small"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv(FOLDER, str(store))
    register()
    fsspec.filesystem("memory").store.clear()
    return str(request.param).format(folder=store)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[RunPaths, RunPaths]:
    return RunPaths(tmp_path / "a" / "run"), RunPaths(tmp_path / "b" / "run")


def spec_at(url: str, **edits: object) -> StudySpec:
    return small_spec(execution={"results": url}, **edits)


def test_what_one_machine_ran_another_has(url: str, machines: tuple[RunPaths, RunPaths]) -> None:
    here, there = machines
    prepare(spec_at(url), here)
    assert work(here, "0", runner()) == 8
    current, queue = prepare(spec_at(url), there)
    assert (len(current.done), current.to_run) == (8, ())
    assert queue.waiting() == set()
    assert result_files(there) == result_files(here)
    for key in result_files(here):
        assert read_record(there.cell(key)) == read_record(here.cell(key))


def test_a_cell_that_ended_elsewhere_meanwhile_is_not_run_again(
    url: str, machines: tuple[RunPaths, RunPaths]
) -> None:
    here, there = machines
    prepare(spec_at(url), here)
    prepare(spec_at(url), there)
    work(there, "0", runner())
    ran: list[object] = []
    assert work(here, "0", runner(ran.append)) == 8
    assert ran == []
    join(spec_at(url), here)


def test_a_cut_or_lost_copy_is_fetched_again(url: str, machines: tuple[RunPaths, RunPaths]) -> None:
    here, _ = machines
    prepare(spec_at(url), here)
    work(here, "0", runner())
    cut, lost = (here.cell(cell.key) for cell in list(small_spec().cells())[:2])
    cut.write_bytes(cut.read_bytes()[:100])
    lost.unlink()
    assert len(prepare(spec_at(url), here)[0].done) == 8


def test_an_object_that_is_no_result_is_run_again(
    url: str, machines: tuple[RunPaths, RunPaths]
) -> None:
    here, there = machines
    prepare(spec_at(url), here)
    work(here, "0", runner())
    cell = next(small_spec().cells())
    here.cell(cell.key).write_bytes(b"half")
    Remote(url, here).push_result(cell.key)
    current, _ = prepare(spec_at(url), there)
    assert current.to_run == (cell,)
    assert work(there, "0", runner()) == 1
    assert len(plan(spec_at(url), there).done) == 8
    assert not [path for path in there.root.rglob(".*") if path.is_file()]


def test_a_failed_cell_is_replaced_by_the_result_of_another_machine(
    url: str, machines: tuple[RunPaths, RunPaths]
) -> None:
    here, there = machines
    prepare(spec_at(url), there)
    work(there, "0", runner())
    here.create()
    cell = next(small_spec().cells())
    write_result(here.cell(cell.key), record_of(cell, RunStatus.FAILED), empty_curve())
    assert plan(spec_at(url), here).failed
    assert len(prepare(spec_at(url), here)[0].done) == 8


@pytest.mark.parametrize("protocol", ["dir::file", "objects"])
def test_a_fetched_result_keeps_its_time_which_tells_the_pace(
    protocol: str, machines: tuple[RunPaths, RunPaths], tmp_path: Path, url: str
) -> None:
    """Of results that ended a minute apart, however fast they are fetched."""
    here, there = machines
    address = (
        f"dir::file://{tmp_path / 'store'}" if protocol == "dir::file" else f"{protocol}://a/b"
    )
    prepare(spec_at(address), here)
    work(here, "0", runner())
    files = [*(tmp_path / "store").rglob("*.parquet"), *(tmp_path / "store").glob("*.object")]
    assert len(files) >= 8
    for minute, file in enumerate(sorted(files)):
        os.utime(file, (1e9 + 60 * minute, 1e9 + 60 * minute))
    Remote(address, there).pull()
    times = sorted(there.cell(key).stat().st_mtime for key in result_files(there))
    assert 1e9 <= times[0] < times[-1] < 1e9 + 60 * len(files)
    pace = Watch(spec_at(address), there).look().cells_per_minute
    assert pace == pytest.approx(60 * 7 / (times[-1] - times[0]))
    assert len(set(times)) == 8


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nowhere://bucket/x", "Protocol not known: nowhere"),
        ("memory://x", None),
        ("ftp://me:secret@127.0.0.1:1/x", r"ftp://me@127.0.0.1:1/x: cannot be (listed|read)"),
    ],
)
def test_an_address_that_cannot_be_reached_is_one_line(
    address: str, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robustlr.records.remote._FIRST_PAUSE", 0.0)
    remote = Remote(address, RunPaths(tmp_path / "run"))
    if words is None:
        remote.pull()
        return
    with pytest.raises(StorageError, match=words) as info:
        remote.pull()
    assert "secret" not in str(info.value)
    assert "\n" not in str(info.value)


def without_uploads(patch: pytest.MonkeyPatch) -> None:
    def fail(self: Remote, key: str) -> None:
        raise StorageError("the address is away")

    patch.setattr(Remote, "push_result", fail)


def test_a_result_that_never_arrived_there_is_put_there_later(
    url: str, machines: tuple[RunPaths, RunPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    prepare(spec_at(url), here)
    with monkeypatch.context() as patch:
        without_uploads(patch)
        with pytest.raises(StorageError):
            work(here, "0", runner())
    made = result_files(here)
    assert len(made) == 1
    join(spec_at(url), here)
    assert {record.cell.key for record in prepare(spec_at(url), there)[0].done} == made


def test_a_failure_there_replaces_no_result_here(
    url: str, machines: tuple[RunPaths, RunPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machines
    prepare(spec_at(url), here)
    cell = next(spec_at(url).cells())
    record_failure(here, cell, "no memory", Remote(url, here))
    prepare(spec_at(url), here)
    with monkeypatch.context() as patch:
        without_uploads(patch)
        with pytest.raises(StorageError):
            work(here, "0", runner())
    assert plan(spec_at(url), here).done
    Watch(spec_at(url), here).look()  # which fetches what is there
    assert plan(spec_at(url), here).done
    prepare(spec_at(url), here)
    assert prepare(spec_at(url), there)[0].done


def test_failures_are_fetched_once(
    url: str, machines: tuple[RunPaths, RunPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: the queue waits for it."""
    here, there = machines
    prepare(spec_at(url), here)
    for cell in spec_at(url).cells():
        record_failure(here, cell, "no memory", Remote(url, here))
    fetched: list[str] = []
    fetch = Remote.fetch_result

    def counted(self: Remote, key: str) -> bool:
        fetched.append(key)
        return fetch(self, key)

    monkeypatch.setattr(Remote, "fetch_result", counted)
    _, queue = prepare(spec_at(url), there)
    assert len(queue.waiting()) == len(fetched) == 8
