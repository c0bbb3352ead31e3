"""Data from this machine through `datasets`: every form, and every way to get it wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from robustlr.errors import DataError
from robustlr.workloads.hub import Source, load_rows
from tests.workloads.datasets_on_disk import (
    write_cifar10,
    write_cifar100,
    write_imagefolder,
    write_parquet,
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    return write_cifar10(tmp_path / "cifar", train=20, test=10)


def source(folder: Path | str, **options: str) -> Source:
    return Source(str(folder), **options)


def test_parquet_as_datasets_ships_it(cifar: Path) -> None:
    rows = load_rows(source(cifar), "test", ["img", "label"])
    assert len(rows) == 10
    assert rows.integers("label").tolist() == list(range(10))
    names = rows.class_names("label")
    assert names is not None
    assert names[3] == "class_3"
    images = rows.encoded_images("img")
    assert len(images) == 10
    file = next(cifar.rglob("test-*.parquet"))
    stored = parquet.read_table(file).column("img").to_pylist()
    assert [images[k] for k in range(10)] == [image["bytes"] for image in stored]


def test_parquet_of_others_has_no_feature_types(tmp_path: Path, cifar: Path) -> None:
    table = parquet.read_table(next(cifar.rglob("train-*.parquet"))).replace_schema_metadata(None)
    (tmp_path / "plain").mkdir()
    parquet.write_table(table, tmp_path / "plain" / "train.parquet")
    for path in (tmp_path / "plain", tmp_path / "plain" / "train.parquet"):
        rows = load_rows(source(path), "train", ["img", "label"])
        assert rows.encoded_images("img")[3].startswith(b"\x89PNG")
        assert rows.class_names("label") is None


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "photos")
    rows = load_rows(source(folder), "validation", ["image", "label"])
    assert rows.integers("label").tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images = rows.encoded_images("image")
    assert images[0] == (folder / "validation" / "class_0" / "0.jpg").read_bytes()
    assert str(folder / "validation" / "class_1" / "1.jpg") in images.name(5)
    (folder / "validation" / "class_1" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"image 5 \(.*1.jpg\) cannot be read"):
        images[5]


def test_rows_without_an_image(tmp_path: Path) -> None:
    images = [None, {"bytes": None, "path": None}, {"bytes": b"", "path": "a.png"}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"img": {"_type": "Image"}}
    write_parquet(tmp_path / "train.parquet", {"img": pa.array(images, kind)}, features)
    files = load_rows(source(tmp_path), "train", ["img"]).encoded_images("img")
    for row, message in enumerate(("row 0 has no image", "row 1 has no image", "(a.png) is empty")):
        with pytest.raises(DataError) as caught:
            files[row]
        assert str(caught.value).startswith(f"{tmp_path}, split 'train': ")
        assert str(caught.value).endswith(message)


def test_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("one\n\n three \n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("four\n", encoding="utf-8")
    assert list(load_rows(source(tmp_path), "train", ["text"]).texts("text")) == [
        "one",
        "",
        " three ",
    ]
    assert list(load_rows(source(tmp_path), "test", ["text"]).texts("text")) == ["four"]
    alone = load_rows(source(tmp_path / "test.txt"), "train", ["text"])
    assert list(alone.texts("text")) == ["four"]


@pytest.mark.parametrize("name", ["text", "parquet", "imagefolder"])
def test_a_folder_with_the_name_of_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.txt").write_text("of the current folder\n")
    (tmp_path / name).mkdir()
    (tmp_path / name / "train.txt").write_text("one\n")
    assert list(load_rows(source(name), "train", ["text"]).texts("text")) == ["one"]


def test_a_subset_is_a_folder_or_a_configuration(tmp_path: Path) -> None:
    write_cifar10(tmp_path, train=20, test=10)
    write_cifar100(tmp_path, train=30, test=20)
    assert len(load_rows(source(tmp_path, subset="plain_text"), "train", ["img"])) == 20
    assert len(load_rows(source(tmp_path, subset="cifar100"), "train", ["img"])) == 30
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n  - split: train\n"
        "    path: cifar100/test-*\n---\n"
    )
    assert len(load_rows(source(tmp_path, subset="small"), "train", ["img"])) == 20
    with pytest.raises(DataError, match=r"\(smal\) cannot be read: .*'small'"):
        load_rows(source(tmp_path, subset="smal"), "train", ["img"])


def test_what_changed_on_disk_is_read_again(cifar: Path) -> None:
    assert len(load_rows(source(cifar), "train", ["img"])) == 20
    write_cifar10(cifar, train=30, test=10)
    assert len(load_rows(source(cifar), "train", ["img"])) == 30


def test_a_hub_id_is_found_in_the_cache(tmp_path: Path) -> None:
    cache = Path(os.environ["HF_HOME"]) / "hub" / "datasets--somebody--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0123abc")
    write_cifar10(cache / "snapshots" / "0123abc", train=20, test=10)
    assert len(load_rows(source("somebody/tiny"), "train", ["img", "label"])) == 20


def test_what_is_missing_says_how_to_get_it() -> None:
    terms = "accept its terms first"
    absent = Source("uoft-cs/cifar10", size="0.14 GB", terms=terms, files="plain_text/*")
    with pytest.raises(DataError) as caught:
        load_rows(absent, "train", ["img"])
    assert str(caught.value) == (
        "'uoft-cs/cifar10' is no file or folder here, and as a dataset of the hub it is not on "
        "this machine; 0.14 GB; accept its terms first; get it with `hf download uoft-cs/cifar10 "
        "--repo-type dataset --include 'plain_text/*'`; it is looked for in "
        f"{os.environ['HF_HOME']}/hub (HF_HOME moves it), or name its folder as path"
    )


def test_where_its_size_is_not_known_it_says_where_it_stands() -> None:
    with pytest.raises(DataError, match=r"; its size is on https://huggingface\.co/datasets/a/b; "):
        load_rows(Source("a/b"), "train", ["img"])


def test_a_part_of_a_repository_is_enough(tmp_path: Path) -> None:
    """As `hf download --include` leaves it: no README, none of the other configurations."""
    cache = Path(os.environ["HF_HOME"]) / "hub" / "datasets--somebody--part"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0123abc")
    write_cifar10(cache / "snapshots" / "0123abc", train=20, test=10)
    rows = load_rows(source("somebody/part", subset="plain_text"), "train", ["img", "label"])
    assert len(rows) == 20


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./data/cifar", "a/b/c", ""])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(DataError, match=r"no such file or folder|no file or folder here"):
        load_rows(Source(path), "train", ["img"])


@pytest.mark.parametrize(
    ("split", "column", "message"),
    [
        ("valid", "img", "has no split 'valid', but train, test"),
        ("tests", "img", "has no split 'tests', but train, test"),
        ("train", "image", "split 'train', has no column 'image', but img, label"),
    ],
)
def test_splits_and_columns_are_named(cifar: Path, split: str, column: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        load_rows(source(cifar), split, [column])
    assert message in str(caught.value)


def test_columns_hold_what_is_asked_of_them(cifar: Path) -> None:
    rows = load_rows(source(cifar), "train", ["img", "label"])
    with pytest.raises(DataError, match=r"'train'.*: column 'img' must hold whole numbers"):
        rows.integers("img")
    with pytest.raises(DataError, match="column 'label' must hold text"):
        list(rows.texts("label"))
    with pytest.raises(DataError, match="column 'label' holds no images"):
        rows.encoded_images("label")


def test_rows_with_gaps(tmp_path: Path) -> None:
    table = pa.table({"label": [1, None, 2], "text": ["a", None, "c"]})
    parquet.write_table(table, tmp_path / "train.parquet")
    rows = load_rows(source(tmp_path), "train", ["label", "text"])
    with pytest.raises(DataError, match="whole numbers, all given"):
        rows.integers("label")
    with pytest.raises(DataError, match="a row without text"):
        list(rows.texts("text"))


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_damaged_file_is_named(cifar: Path, keep: float) -> None:
    file = next(cifar.rglob("test-*.parquet"))
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError) as caught:
        load_rows(source(cifar), "train", ["img"])
    assert str(caught.value) == f"{cifar}: {file} is damaged: fetch or make it again"


def test_a_file_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train-1.parquet"
    for name in ("train-0.parquet", "train-1.parquet", "train-2.parquet"):
        parquet.write_table(pa.table({"text": [str(k) * 50 for k in range(2000)]}), tmp_path / name)
    data = file.read_bytes()
    file.write_bytes(data[:50] + b"\xff" * 2000 + data[2050:])
    with pytest.raises(DataError) as caught:
        load_rows(source(tmp_path), "train", ["text"])
    assert str(caught.value) == f"{tmp_path}: {file} is damaged: fetch or make it again"


def test_an_empty_file_is_not_blamed_for_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n{broken\n')
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"cannot be read: JSON parse error: .* in row 1"):
        load_rows(source(tmp_path), "train", ["text"])


def test_a_mistyped_subset_reads_no_data(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a Parquet file was opened")

    monkeypatch.setattr(parquet, "ParquetFile", read)
    with pytest.raises(DataError, match=r"\(nope\) cannot be read: BuilderConfig 'nope' not found"):
        load_rows(source(cifar, subset="nope"), "train", ["img"])


def test_folders_and_files_that_hold_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read: .*doesn't contain any data files"):
        load_rows(source(tmp_path), "train", ["img"])
    (tmp_path / "weights.bin").write_bytes(b"0")
    with pytest.raises(DataError, match=r"a file must be one of \.parquet, \.txt"):
        load_rows(source(tmp_path / "weights.bin"), "train", ["img"])
    parquet.write_table(pa.table({"img": pa.array([], pa.int64())}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet has no rows"):
        load_rows(source(tmp_path), "train", ["img"])


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """`datasets` shadowed by a module that cannot be imported, in a process of its own."""
    (tmp_path / "datasets.py").write_text("raise ImportError('not here')\n")
    code = (
        "from robustlr.workloads.hub import *\n"
        "try: load_rows(Source('.'), 'train', ['a'])\n"
        "except DataError as error: print(error)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.stdout.strip().endswith('pip install "robustlr[hf]"')


@pytest.mark.parametrize("ending", ["txt", "csv", "jsonl"])
@pytest.mark.parametrize("alone", [False, True])
def test_an_empty_file_is_named(tmp_path: Path, ending: str, alone: bool) -> None:
    full = {"txt": "one\n", "csv": "text\none\n", "jsonl": '{"text": "one"}\n'}
    if not alone:
        (tmp_path / f"train.{ending}").write_text(full[ending])
    (tmp_path / f"test.{ending}").write_text("")
    with pytest.raises(DataError) as caught:
        load_rows(source(tmp_path), "test", ["text"])
    assert str(caught.value) == f"{tmp_path}: {tmp_path}/test.{ending} is empty"


@pytest.mark.parametrize("classes", [0, 1])
def test_photographs_of_fewer_than_two_classes(tmp_path: Path, classes: int) -> None:
    if classes:
        write_imagefolder(tmp_path, classes=1)
    else:
        write_imagefolder(tmp_path / "whole", classes=1)
        (tmp_path / "whole" / "train" / "class_0").rename(tmp_path / "train")
        shutil.rmtree(tmp_path / "whole")
    with pytest.raises(DataError, match=r"'label', but image: .* folders, which must be two or m"):
        load_rows(source(tmp_path), "train", ["image", "label"])
