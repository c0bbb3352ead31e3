"""Results from elsewhere: what is kept, what is said, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import DataError, RobustlrError
from robustlr.records import CURVE_SCHEMA, RUN_SCHEMA
from robustlr.records.imports import Imported, import_results
from robustlr.records.lattice import find_lattice


def write(folder: Path, text: str, name: str = "results.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Imported:
    return import_results(write(folder, text))


def said(imported: Imported, words: str) -> bool:
    return any(words in note for note in imported.notes)


PLAIN = """schedule,lr,seed,value
fixed,0.01,0,0.5
fixed,0.1,0,0.3
cosine,0.01,0,0.4
cosine,0.1,0,nan
"""


def test_one_run_per_row_with_the_study_schemas(tmp_path: Path) -> None:
    imported = load(tmp_path, PLAIN)
    runs = imported.results.runs
    assert dict(runs.schema) == RUN_SCHEMA
    assert dict(imported.results.curves.schema) == {"key": pl.String(), **CURVE_SCHEMA}
    assert runs["valid_loss"].to_list() == [0.5, 0.3, 0.4, None]
    assert runs["status"].to_list() == ["completed"] * 3 + ["diverged"]
    assert runs["lr_index"].to_list() == [-2, -1, -2, -1]
    assert runs["key"].n_unique() == 4
    assert said(imported, "1 of 4 runs have no finite final value")
    assert said(imported, "chosen by the very values that are reported")


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-inf", "", "NA", "None", "diverged"])
def test_every_spelling_of_a_diverged_run(tmp_path: Path, cell: str) -> None:
    runs = load(tmp_path, f"schedule,lr,seed,value\nfixed,0.1,0,{cell}\nfixed,1,0,2\n").results.runs
    assert runs["status"].to_list() == ["diverged", "completed"]


def test_steps_make_curves_and_the_last_one_counts(tmp_path: Path) -> None:
    imported = load(
        tmp_path,
        "schedule,lr,seed,value,step,split,seconds\n"
        "fixed,0.1,0,2.0,0,valid,0\nfixed,0.1,0,2.1,0,test,0\n"
        "fixed,0.1,0,0.7,20,valid,8\nfixed,0.1,0,0.8,20,test,8\n"
        "fixed,0.1,0,0.5,10,valid,4\nfixed,0.1,0,0.9,10,train,4\n"
        "fixed,1,0,2.0,0,valid,0\nfixed,1,0,,10,valid,4\n"
        "fixed,10,0,2.0,0,valid,0\nfixed,10,0,1.5,10,valid,4\n",
    )
    first = imported.results.runs.row(0, named=True)
    assert (first["valid_loss"], first["test_loss"]) == (0.7, 0.8)
    assert (first["best_valid_loss"], first["initial_valid_loss"]) == (0.5, 2.0)
    assert (first["steps"], first["num_steps"], first["wall_seconds"]) == (20, 20, 8.0)
    assert imported.results.runs["status"].to_list() == ["completed", "diverged", "completed"]
    assert said(imported, "1 runs end before the last step")
    curve = imported.results.curves.filter(pl.col("key") == first["key"])
    assert curve["step"].to_list() == [0, 10, 20]
    assert curve["valid_loss"].to_list() == [2.0, 0.5, 0.7]
    assert curve["train_loss"].to_list() == [None, 0.9, None]
    assert dict(curve.schema) == {"key": pl.String(), **CURVE_SCHEMA}


def test_only_test_values_select_too_and_it_is_said(tmp_path: Path) -> None:
    imported = load(tmp_path, "schedule,lr,seed,value,split\nfixed,0.1,0,2.0,test\n")
    row = imported.results.runs.row(0, named=True)
    assert row["valid_loss"] == row["test_loss"] == 2.0
    assert said(imported, "too hopeful")


def test_runs_without_validation_beside_runs_with_it_are_named(tmp_path: Path) -> None:
    imported = load(
        tmp_path, "schedule,lr,seed,value,split\nfixed,0.1,0,2,valid\nfixed,0.1,1,3,test\n"
    )
    assert imported.results.runs["seed"].to_list() == [0]
    assert said(imported, "1 runs have no validation row")


def test_ragged_grids_and_foreign_columns_are_said(tmp_path: Path) -> None:
    imported = load(
        tmp_path,
        "schedule,lr,seed,value,gpu\nfixed,0.1,0,2,a\nfixed,1,0,2,a\ncosine,1,0,1,b\n",
    )
    assert said(imported, "cosine (1 of 2)")
    assert said(imported, "not used: gpu")


def test_settings_have_their_own_grids(tmp_path: Path) -> None:
    imported = load(
        tmp_path,
        "schedule,lr,seed,value,workload\n"
        + "".join(f"fixed,{lr},0,1,a\n" for lr in (0.01, 0.1, 1))
        + "".join(f"fixed,{lr},0,1,b\n" for lr in (0.003, 0.006, 0.012)),
    )
    runs = imported.results.runs
    assert runs["setting"].unique().sort().to_list() == ["a", "b"]
    assert runs.filter(pl.col("setting") == "b")["lr_index"].diff().to_list()[1:] == [1, 1]
    assert not said(imported, "no regular")


def test_single_precision_copies_are_one_learning_rate(tmp_path: Path) -> None:
    single = float(np.float32(0.001))
    runs = load(
        tmp_path, f"schedule,lr,seed,value\nfixed,0.001,0,1\nfixed,{single!r},1,1\nfixed,0.01,0,1\n"
    ).results.runs
    assert runs["peak_lr"].n_unique() == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(tmp_path: Path, separator: str) -> None:
    assert load(tmp_path, PLAIN.replace(",", separator)).results.runs.height == 4


def test_other_formats_say_the_same(tmp_path: Path) -> None:
    expected = load(tmp_path, PLAIN).results.runs
    table = pl.read_csv(tmp_path / "results.csv", schema_overrides={"value": pl.Float64})
    table.write_parquet(tmp_path / "t.parquet")
    rows = table.with_columns(pl.col("value").fill_nan(None)).to_dicts()
    (tmp_path / "t.json").write_text(json.dumps(rows))
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    for name in ("t.parquet", "t.json", "t.jsonl"):
        assert import_results(tmp_path / name).results.runs.equals(expected), name


HEAD = "schedule,lr,seed,value\n"
BAD = {
    "": "is empty",
    "   \n": "is empty",
    HEAD: "no rows",
    "schedule,lr,value\nfixed,1,2\n": "no column seed",
    "hello world\n": "no column schedule",
    HEAD + "fixed,fast,0,1\n": "row 1: lr must be a number, got 'fast'",
    HEAD + "fixed,1,0,1\nfixed,-1,0,1\n": "row 2: lr must be positive, got '-1'",
    HEAD + "fixed,0,0,1\n": "lr must be positive",
    HEAD + "fixed,nan,0,1\n": "lr must be finite",
    HEAD + "fixed,inf,0,1\n": "lr must be finite",
    HEAD + "fixed,,0,1\n": "lr is empty",
    HEAD + ",1,0,1\n": "schedule is empty",
    HEAD + "fixed,1,,1\n": "seed is empty",
    HEAD + "fixed,1,0.5,1\n": "seed must be whole",
    HEAD + "fixed,1,-1,1\n": "seed must be zero or more",
    HEAD + "fixed,1,1e300,1\n": "seed is too large, got '1e300'",
    HEAD + "fixed,1,0,good\n": "value must be a number, got 'good'",
    HEAD + "fixed,1,0,1\nfixed,1,0,2\n": "rows 1 and 2 are both fixed at learning rate 1, seed 0",
    HEAD + "fixed,1,0,1,5,6\n": "row 1 has 6 cells, more than the header's 4",
    "schedule,lr,LR,seed,value\nfixed,1,1,0,1\n": "two columns lr",
    "schedule,lr,seed,value,split\nfixed,1,0,1,holdout\n": "split 'holdout' is none of",
    "schedule,lr,seed,value,step\nfixed,1,0,1,a\n": "step must be a number",
    "schedule,lr,seed,value,seconds\nfixed,1,0,1,-0.5\n": "seconds must be zero or more",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=BAD.values())
def test_bad_tables_are_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as raised:
        load(tmp_path, text)
    assert message in str(raised.value)
    assert "results.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bad_files_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "a.json").write_text("{]")
    for name in ("a.csv", "a.parquet", "a.json", "missing.csv", "."):
        with pytest.raises(DataError) as raised:
            import_results(tmp_path / name)
        assert "\n" not in str(raised.value)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.text(alphabet=",;01.e-nafi\"'ü\n", max_size=6), min_size=1, max_size=5),
        max_size=5,
    )
)
def test_any_text_is_results_or_a_robustlr_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    text = HEAD + "\n".join(",".join(row) for row in rows)
    with suppress(RobustlrError):
        load(tmp_path_factory.mktemp("any"), text)


@settings(max_examples=50, deadline=None)
@given(
    per_decade=st.integers(1, 12),
    start=st.integers(-40, 10),
    offset=st.floats(0, 1),
    indices=st.sets(st.integers(0, 15), min_size=2, max_size=16),
    seed=st.integers(0, 9),
)
def test_a_lattice_with_few_gaps_is_found_again(
    per_decade: int, start: int, offset: float, indices: set[int], seed: int
) -> None:
    chosen = np.array(sorted({0, *indices, max(indices) + 1}))
    if len(chosen) * 2 < chosen[-1] + 1 or np.diff(chosen).min() > 1:
        return
    order = np.random.default_rng(seed).permutation(len(chosen))
    rates = 10 ** ((start + offset + chosen[order]) / per_decade)
    found = find_lattice(rates)
    assert found.regular
    assert (np.diff(found.index) == np.diff(chosen[order])).all()
