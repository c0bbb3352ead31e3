"""Many results as frames, against loops over them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from robustlr.errors import DataError
from robustlr.records import (
    CURVE_SCHEMA,
    RUN_SCHEMA,
    RunPaths,
    RunStatus,
    RunSummary,
    empty_curve,
    load_results,
    read_curve,
    run_frame,
    write_result,
)
from robustlr.specs import Cell, StudySpec
from tests.records.results import curve_of, other, record_of
from tests.specs.tables import edited

SPEC = StudySpec.from_table(
    edited(seeds=2, grid__low=0.1, schedule=["fixed", "curvature_adaptive", "cosine"])
)
CELLS = list(SPEC.cells())


def curve_for(cell: Cell) -> pl.DataFrame:
    """Telemetry where the schedule has it, and none where the run ended at once."""
    if cell.schedule.kind != "curvature_adaptive":
        return curve_of(rows=3)
    names = () if cell.seed == 1 else ("curvature_trace", "curvature_smoothed")
    return curve_of(rows=2 + cell.seed, telemetry=names)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    paths = RunPaths(tmp_path / "study")
    paths.create()
    for number, cell in enumerate(CELLS):
        record = record_of(cell, summary=RunSummary(valid_loss=0.1 * number, steps=10 - cell.seed))
        write_result(paths.cell(cell.key), record, curve_for(cell))
    return paths


def test_runs_are_one_row_per_cell_in_the_order_of_the_spec(paths: RunPaths) -> None:
    runs = load_results(paths, SPEC).runs
    assert dict(runs.schema) == RUN_SCHEMA
    assert runs["key"].to_list() == [cell.key for cell in CELLS]
    for row, cell in zip(runs.to_dicts(), CELLS, strict=True):
        assert row["schedule"] == cell.schedule.label
        assert row["peak_lr"] == cell.peak_lr
        assert row["seed"] == cell.seed
        assert row["setting"] == cell.setting
        assert row["lr_index"] == Fraction(cell.lr_exponent) * 4
    assert runs["valid_loss"].to_list() == pytest.approx([0.1 * k for k in range(len(CELLS))])
    assert json.loads(runs["outcome"][0]) == dict(record_of().outcome)


def test_curves_equal_those_read_one_by_one(paths: RunPaths) -> None:
    curves = load_results(paths, SPEC).curves
    slow = pl.concat(
        [
            read_curve(paths.cell(cell.key)).select(pl.lit(cell.key).alias("key"), pl.all())
            for cell in CELLS
        ],
        how="diagonal",
    )
    assert_frame_equal(curves, slow, check_column_order=False)
    assert curves.columns[: 1 + len(CURVE_SCHEMA)] == ["key", *CURVE_SCHEMA]


def test_telemetry_that_only_a_shorter_run_has_is_not_lost(paths: RunPaths) -> None:
    odd = CELLS[0]
    write_result(
        paths.cell(odd.key),
        record_of(odd, summary=RunSummary(steps=1)),
        curve_of(telemetry=("rare",)),
    )
    curves = load_results(paths, SPEC).curves
    assert curves.filter(pl.col("rare").is_not_null())["key"].unique().to_list() == [odd.key]
    assert len(curves) == sum(len(read_curve(paths.cell(cell.key))) for cell in CELLS)


def test_missing_and_failed_cells_are_told_apart(paths: RunPaths) -> None:
    gone, failed, diverged = CELLS[3], CELLS[5], CELLS[7]
    paths.cell(gone.key).unlink()
    reason = record_of(failed, status=RunStatus.FAILED, facts=None, reason="no network")
    write_result(paths.cell(failed.key), reason, empty_curve())
    lost = record_of(diverged, status=RunStatus.DIVERGED, summary=RunSummary(steps=2))
    write_result(paths.cell(diverged.key), lost, curve_of(rows=1))
    results = load_results(paths, SPEC)
    assert results.missing == (gone,)
    assert results.failed == (reason,)
    assert set(results.runs["key"]) == {cell.key for cell in CELLS} - {gone.key, failed.key}
    assert set(results.curves["key"]) == set(results.runs["key"])
    row = results.runs.row(by_predicate=pl.col("key") == diverged.key, named=True)
    assert row["status"] == "diverged"
    assert row["valid_loss"] is None
    assert row["chance_loss"] == 2.3


def test_results_of_cells_the_spec_no_longer_has_are_left_alone(paths: RunPaths) -> None:
    narrower = StudySpec.from_table(edited(seeds=1, grid__low=0.1, schedule=["fixed"]))
    results = load_results(paths, narrower)
    assert results.runs["key"].to_list() == [cell.key for cell in narrower.cells()]
    assert results.missing == ()


def test_nothing_yet(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    with pytest.raises(DataError, match="no results yet; `robustlr study run` makes them"):
        load_results(paths, SPEC)


def test_all_failed(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    paths.create()
    for cell in CELLS:
        record = record_of(cell, status=RunStatus.FAILED, facts=None, reason="no")
        write_result(paths.cell(cell.key), record, empty_curve())
    results = load_results(paths, SPEC)
    assert len(results.failed) == len(CELLS)
    assert results.runs.is_empty()
    assert dict(results.runs.schema) == RUN_SCHEMA
    assert results.curves.columns == ["key", *CURVE_SCHEMA]


def assert_left_out(paths: RunPaths, *damaged: Cell) -> None:
    results = load_results(paths, SPEC)
    assert results.damaged == damaged
    assert results.missing == results.failed == ()
    assert set(results.runs["key"]) == {cell.key for cell in CELLS if cell not in damaged}
    assert set(results.curves["key"]) == set(results.runs["key"])
    assert results.curves.columns[: 1 + len(CURVE_SCHEMA)] == ["key", *CURVE_SCHEMA]


@pytest.mark.parametrize("keep", [0, 500])
def test_damaged_files_are_left_out(paths: RunPaths, keep: int) -> None:
    for cell in (CELLS[4], CELLS[9]):
        whole = paths.cell(cell.key).read_bytes()
        paths.cell(cell.key).write_bytes(whole[:keep])
    assert_left_out(paths, CELLS[4], CELLS[9])


def test_a_file_with_a_whole_record_and_another_curve_is_left_out(paths: RunPaths) -> None:
    curve = curve_of().cast({"step": pl.Float64()})
    write_result(paths.cell(CELLS[4].key), record_of(CELLS[4]), curve)
    assert_left_out(paths, CELLS[4])


def test_nothing_but_damaged_files(paths: RunPaths) -> None:
    for cell in CELLS:
        paths.cell(cell.key).write_bytes(b"")
    assert_left_out(paths, *CELLS)


@pytest.mark.parametrize(
    ("exponents", "per_decade", "indices"),
    [
        (["-1", "0", "1"], 1, [-1, 0, 1]),
        (["-3/4", "-1/2", "-1/4", "0"], 4, [-3, -2, -1, 0]),
        (["-1/2", "0", "1/3"], 6, [-3, 0, 2]),  # half decades beside thirds
        (["-1/4", "1/8"], 8, [-2, 1]),
        (["2"], 1, [2]),
    ],
)
def test_grids_of_different_resolution_share_one_lattice(
    exponents: list[str], per_decade: int, indices: list[int]
) -> None:
    done = [(cell, record_of(cell)) for cell in (other(lr_exponent=text) for text in exponents)]
    runs = run_frame(done)
    assert runs["lr_index"].to_list() == indices
    rates = [10 ** (index / per_decade) for index in indices]
    assert runs["peak_lr"].to_list() == pytest.approx(rates)


def test_a_refined_study_counts_in_its_new_grid(paths: RunPaths) -> None:
    assert load_results(paths, SPEC).points_per_decade == 4
    finer: dict[str, Any] = {"grid__low": 0.1, "grid__points_per_decade": 8}
    spec = StudySpec.from_table(edited(seeds=1, schedule=["fixed"], **finer))
    for cell in spec.cells():
        write_result(paths.cell(cell.key), record_of(cell), curve_of())
    results = load_results(paths, spec)
    assert results.points_per_decade == 8
    assert results.runs["lr_index"].to_list() == list(range(-8, 9))


def test_labels_are_those_of_the_spec_that_asks(paths: RunPaths) -> None:
    """The key ignores labels: a renamed workload keeps its results, under the new name."""
    workload = {"kind": "digits_mlp", "hidden": [64, 64], "label": "renamed"}
    renamed = StudySpec.from_table(
        edited(seeds=1, grid__low=0.1, schedule=["fixed"], workload=workload)
    )
    runs = load_results(paths, renamed).runs
    assert set(runs["workload"]) == {"renamed"}
    assert runs["setting"].str.starts_with("renamed · ").all()
