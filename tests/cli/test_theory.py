"""`robustlr theory`: what it prints, in the words and numbers of robustlr.theory."""

import json
import tomllib

import pytest
from typer.testing import CliRunner

from robustlr.errors import SpecError
from robustlr.schedules import parse
from robustlr.theory import continuous_bound, design, discrete_bound
from robustlr_cli.theory import app


def run(*arguments: str) -> str:
    """Standard output of `robustlr theory ARGUMENTS`, at 80 columns."""
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_one_row_for_every_schedule_and_factor() -> None:
    text = run(
        "--schedule", "cosine", "--schedule", "polynomial:degree=2", "--rho", "2,4,10,100", "--json"
    )
    rows = json.loads(text)
    assert [(row["schedule"], row["rho"]) for row in rows] == [
        (label, rho) for label in ("cosine", "polynomial:degree=2") for rho in (2, 4, 10, 100)
    ]
    for row in rows:
        bound = continuous_bound(parse(row["schedule"]))
        assert row["ratio"] == pytest.approx(float(bound.ratio(row["rho"])))
        assert row["exponent"] == pytest.approx(0.2, abs=1e-6)


def test_the_grids_penalty() -> None:
    rows = json.loads(run("--schedule", "fixed", "--grid-ratio", "4,100", "--json"))
    assert [row["grid_ratio"] for row in rows] == [4, 100]
    assert [row["penalty"] for row in rows] == pytest.approx([1.25, 5.05])


def test_a_finite_horizon_bounds_the_last_iterate() -> None:
    (row,) = json.loads(run("--schedule", "fixed", "--rho", "10", "--num-steps", "500", "--json"))
    assert row["iterate"] == "last"
    assert row["ratio"] == pytest.approx(float(discrete_bound(parse("fixed"), 500).ratio(10.0)))


def test_without_arguments_the_built_ins_fit_into_80_columns() -> None:
    lines = run().splitlines()
    for kind in ("fixed", "inverse_sqrt", "linear", "polynomial:degree=3", "cosine", "wsd"):
        assert any(line.split()[:1] == [kind] for line in lines)
    assert max(map(len, lines)) <= 80


def test_both_tables() -> None:
    text = run("--schedule", "linear", "--rho", "3", "--grid-ratio", "9")
    assert "ρ = 3" in text
    assert "grid 9" in text


def test_the_designed_schedule_goes_into_a_study_file() -> None:
    table = tomllib.loads(run("design", "--rho", "30", "--toml"))
    assert [parse(entry) for entry in table["schedule"]] == [design(30.0).schedule]


def test_the_design_compared() -> None:
    found = json.loads(run("design", "--rho", "10", "--json"))
    assert parse(found["schedule"]) == design(10.0).schedule
    worst = {row["schedule"]: row["worst"] for row in found["comparison"]}
    assert {"cosine", "linear", "wsd"} < set(worst)
    assert min(worst, key=worst.__getitem__) == "designed-10"
    table = run("design", "--rho", "10")
    assert all(label in table for label in worst)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rho", "2,x"], "--rho takes numbers"),
        (["--rho", ","], "--rho takes numbers with commas between, got ','"),
        (["--rho", ""], "--rho takes numbers"),
        (["--grid-ratio", ","], "--grid-ratio takes numbers"),
        (["--rho", "-2"], "rho must be positive"),
        (["--rho", "1e308"], "rho must be positive, and within a factor 1e.50 of 1"),
        (["--grid-ratio", "1e300"], "a ratio must be at least 1 and at most 1e.50"),
        (
            ["--num-steps", "100000000000"],
            "num_steps must be .* at most 100000000, got",
        ),
        (["--grid-ratio", "0.5"], "at least 1"),
        (["--schedule", "cosin"], "did you mean 'cosine'"),
        (["--schedule", "curvature_adaptive"], "needs feedback"),
        (["design", "--rho", "0.1"], "at least 1"),
        (["design", "--rho", "1e300"], "rho must be a factor of .* at most 1e.50, got 1e.300"),
        (["design", "--rho", "2", "--json", "--toml"], "either"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message) as error:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "\n" not in str(error.value)
