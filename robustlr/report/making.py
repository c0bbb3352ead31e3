"""How a report was made: enough to make it again, for machines and in words."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

import robustlr
from robustlr.records import Results, RunRecord
from robustlr.report.numbers import number, percent, plural
from robustlr.versions import installed_versions

_PACKAGES = ("numpy", "scipy", "polars", "matplotlib", "seaborn", "jinja2")
MADE_WITH = "runs_made_with"
"""Key of `run_provenance` in provenance.json."""


def report_provenance(
    results: Results,
    *,
    name: str,
    command: str,
    options: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Versions, what was measured and how; JSON-ready and without dates."""
    runs = results.runs
    return {
        "study": name,
        "command": command,
        "options": dict(options),
        "runs": {
            "completed": runs.filter(pl.col("status") == "completed").height,
            "diverged": runs.filter(pl.col("status") == "diverged").height,
            "failed": len(results.failed),
            "missing": len(results.missing),
            "damaged": len(results.damaged),
            "seeds": runs["seed"].unique().sort().to_list(),
            "settings": runs["setting"].unique(maintain_order=True).to_list(),
            "schedules": runs["schedule"].unique(maintain_order=True).to_list(),
            "learning_rates": runs["peak_lr"].n_unique(),
            "lowest_learning_rate": runs["peak_lr"].min(),
            "highest_learning_rate": runs["peak_lr"].max(),
        },
        "versions": {
            "robustlr": robustlr.__version__,
            "python": platform.python_version(),
            **installed_versions(*_PACKAGES),
        },
        **extra,
    }


def run_provenance(records: Iterable[RunRecord]) -> list[dict[str, Any]]:
    """Distinct circumstances of the runs (versions, device, commit), and how many runs had each."""
    seen = Counter(tuple(sorted(record.provenance.items())) for record in records)
    return [{**dict(facts), "runs": runs} for facts, runs in seen.items()]


def mixed_code(records: Iterable[RunRecord]) -> list[str]:
    """A caveat for every workload whose runs were made by several versions of its code."""
    codes: dict[str, Counter[str]] = {}
    for record in records:
        of_workload = codes.setdefault(record.cell.workload.label, Counter())
        of_workload[record.provenance.get("workload_code", "")] += 1
    return [
        f"The code of workload '{label}' changed between runs: {', '.join(_runs_of(found))}. They "
        "are taken for runs of one model, as whoever ran them has said."
        for label, found in codes.items()
        if len(found) > 1
    ]


def _runs_of(codes: Counter[str]) -> list[str]:
    return [f"{plural(runs, 'run')} by {code or 'unknown code'}" for code, runs in codes.items()]


def making(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The lines of "How it was made"."""
    runs, options = provenance["runs"], provenance["options"]
    seeds = runs["seeds"]
    lines = [
        ("Settings", "; ".join(runs["settings"])),
        ("Schedules", ", ".join(runs["schedules"])),
        (
            "Learning rates",
            f"{runs['learning_rates']}, from {number(runs['lowest_learning_rate'])} to "
            f"{number(runs['highest_learning_rate'])}",
        ),
        ("Seeds", f"{len(seeds)}: {_spelled(seeds)}"),
        (
            "Runs",
            f"{runs['completed']} completed, {runs['diverged']} diverged (counted as chance), "
            f"{runs['failed']} failed, {runs['missing']} missing"
            + (f", {runs['damaged']} damaged" if runs["damaged"] else ""),
        ),
        (
            "Selection",
            "learning rates by the mean validation loss at the end of training, reported on the "
            f"test {options['on']}",
        ),
        (
            "Intervals",
            f"95 %, {options['interval']} bootstrap over seeds, paired between schedules and "
            f"learning rates, {plural(options['resamples'], 'resample')}; the tuned learning rate "
            "is chosen anew in each",
        ),
        (
            "Tolerance",
            f"ε = {percent(options['epsilon'])} of the range between chance and the best tuned "
            f"value; baseline {options['baseline']}",
        ),
    ]
    for made in provenance.get(MADE_WITH, []):
        facts = ", ".join(f"{key} {value}" for key, value in made.items() if key != "runs")
        lines.append((f"Hardware and versions of {plural(made['runs'], 'run')}", facts))
    lines.append(
        (
            "Versions of this report",
            ", ".join(f"{key} {value}" for key, value in provenance["versions"].items()),
        )
    )
    lines.append(("Made again by", provenance["command"]))
    lines.append(
        ("Files", "all measures in tables/ (CSV, Parquet), all runs in runs.parquet, "
                  "provenance.json")
    )  # fmt: skip
    return tuple(lines)


def _spelled(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
