"""`robustlr theory`: what a wrong learning rate costs, from the shape of a schedule alone."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustlr_cli._arguments import Json
from robustlr_cli._console import note, say, show_json, show_table

if TYPE_CHECKING:
    from robustlr.theory import Bound, Design, WorstCase

app = typer.Typer()

_SCHEDULES = (
    "fixed",
    "inverse_sqrt",
    "linear",
    "polynomial:degree=2",
    "polynomial:degree=3",
    "cosine",
    "wsd",
)
_RHO = "2,4,10,100"


@app.callback(
    invoke_without_command=True,
    epilog="Example: robustlr theory --schedule cosine --schedule linear --rho 2,10,100",
)
def theory(
    context: typer.Context,
    schedule: Annotated[
        list[str] | None,
        typer.Option(help="Such as cosine, polynomial:degree=2; repeat it. [default: seven]"),
    ] = None,
    rho: Annotated[
        str | None,
        typer.Option(help=f"Factors between the learning rate and the best. [default: {_RHO}]"),
    ] = None,
    grid_ratio: Annotated[
        str | None,
        typer.Option(help="Ratios of a grid, for what its best point costs at its worst offset."),
    ] = None,
    num_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Sum over this many updates. [default: the limit of many]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """What a wrong learning rate costs by theory, from a schedule's shape.

    That is B(ρη*)/B*, where B bounds f(x) − f* of projected SGD on convex objectives and ρ is the
    factor between the learning rate and the best one; the exponent is that of ρ as it grows.
    Schedules that do not anneal to zero have no bound for their last iterate in the limit: then
    it is the average iterate's. With --num-steps it is always the last iterate's.
    """
    if context.invoked_subcommand is not None:
        return
    from robustlr.schedules import parse
    from robustlr.theory import continuous_bound, discrete_bound

    if rho is None and grid_ratio is None:
        rho = _RHO
    factors = _numbers("--rho", rho)
    ratios = _numbers("--grid-ratio", grid_ratio)
    schedules = [parse(text) for text in schedule or _SCHEDULES]
    bounds = [
        continuous_bound(one) if num_steps is None else discrete_bound(one, num_steps)
        for one in schedules
    ]
    if as_json:
        show_json(_rows(bounds, factors, ratios))
        return
    if factors:
        show_table(
            ["schedule", "iterate", "exponent", *(f"ρ = {factor:g}" for factor in factors)],
            [
                (bound.label, bound.iterate, bound.exponent, *bound.ratio(factors).tolist())
                for bound in bounds
            ],
            title="Bound at ρ times the best learning rate, over the best",
        )
    if ratios:
        show_table(
            ["schedule", "iterate", *(f"grid {ratio:g}" for ratio in ratios)],
            [
                (bound.label, bound.iterate, *(bound.grid_penalty(ratio) for ratio in ratios))
                for bound in bounds
            ],
            title="Best point of a grid at its worst offset",
        )
    if any(bound.iterate == "average" for bound in bounds):
        note("average: the last iterate of a schedule that does not anneal has no bound (log T).")


@app.command("design", epilog="Example: robustlr theory design --rho 10 --toml")
def design_schedule(
    rho: Annotated[float, typer.Option(help="The best learning rate is known within this factor.")],
    as_json: Json = False,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print the schedule for a study file.")
    ] = False,
) -> None:
    """The schedule with the least worst-case bound over a range of learning rates.

    The ends of the range are a factor RHO apart (highest over lowest). Every schedule in the
    comparison may place its peak learning rate where the range hurts it least.
    """
    from robustlr.errors import SpecError
    from robustlr.schedules import to_table
    from robustlr.theory import design

    if as_json and as_toml:
        raise SpecError("choose either --json or --toml")
    found = design(rho)
    if as_toml:
        _show_toml(found)
        return
    cases = [found.designed, *found.rivals]
    if as_json:
        show_json(
            {
                "rho": rho,
                "schedule": to_table(found.schedule),
                "comparison": [_case(case) for case in cases],
            }
        )
        return
    show_table(
        ["schedule", "worst bound", "above the least", "peak lr"],
        [
            (case.schedule.label, case.worst, f"{100 * case.excess:.1f} %", case.peak_lr)
            for case in cases
        ],
        title=f"Best learning rate known within a factor of {rho:g}",
    )
    note(
        "worst bound: in units of DG/√T; linear with the best learning rate has 2.\n"
        "peak lr: where to put it, times the largest one that could be linear's best.\n"
        f"Train with it: robustlr theory design --rho {rho:g} --toml"
    )


def _rows(
    bounds: list[Bound], factors: list[float], ratios: list[float]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for bound in bounds:
        about = {
            "schedule": bound.label,
            "iterate": bound.iterate,
            "exponent": round(bound.exponent, 6),  # it is known to one in a million
        }
        costs = zip(factors, bound.ratio(factors).tolist(), strict=True)
        rows += [about | {"rho": factor, "ratio": cost} for factor, cost in costs]
        penalties = [(ratio, bound.grid_penalty(ratio)) for ratio in ratios]
        rows += [about | {"grid_ratio": ratio, "penalty": cost} for ratio, cost in penalties]
    return rows


def _case(case: WorstCase) -> dict[str, Any]:
    return {
        "schedule": case.schedule.label,
        "worst": case.worst,
        "excess": case.excess,
        "peak_lr": case.peak_lr,
    }


def _show_toml(found: Design) -> None:
    say(
        f"# The best learning rate known within a factor of {found.rho:g}: put the peak at\n"
        f"# {found.designed.peak_lr:.3g} times the largest one that could be linear's best."
    )
    say("[[schedule]]")
    say(f'kind = "{found.schedule.kind}"')
    say(f'name = "{found.schedule.name}"')
    for name in ("fractions", "multipliers"):
        values = ", ".join(str(value) for value in getattr(found.schedule, name))
        say(textwrap.fill(f"{name} = [ {values} ]", width=79, subsequent_indent="  "))


def _numbers(option: str, text: str | None) -> list[float]:
    """The numbers in the text of an option; none where it was not given."""
    from robustlr.errors import SpecError

    if text is None:
        return []
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers:
        raise SpecError(f"{option} takes numbers with commas between, got '{text}'")
    return numbers
