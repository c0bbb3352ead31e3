"""The wheel is whole: installed into an empty folder, it runs outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_on_disk() -> set[str]:
    found = {"robustlr.studies"}
    for top, name in (
        (ROOT / "robustlr", "robustlr"),
        (ROOT / "cli" / "robustlr_cli", "robustlr_cli"),
    ):
        for init in top.rglob("__init__.py"):
            found.add(".".join([name, *init.parent.relative_to(top).parts]))
    return found


def test_every_package_is_in_the_wheel() -> None:
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_every_module_has_a_layer_in_the_import_linter() -> None:
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {name.strip() for layer in layers for name in layer.split("|")}
    modules = {
        f"robustlr.{path.stem}"
        for path in (ROOT / "robustlr").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    assert named == modules | {"robustlr_cli"}


def test_constraints_pin_every_dependency_by_name_and_version_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = {}
    for line in lines:
        name, equals, version = line.partition("==")
        assert equals
        assert version
        assert "/" not in line
        pinned[name.lower().replace("_", "-")] = version
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    for requirement in wanted:
        name = requirement.partition("[")[0]
        for sign in "<>=!~":
            name = name.partition(sign)[0]
        assert name.strip().lower().replace("_", "-") in pinned, requirement


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    for name in filter(None, tracked.split("\0")):
        if name.startswith(("robustlr/", "cli/", "studies/")) or "/" not in name:
            target = source / name
            if (ROOT / name).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(installed)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"robustlr", "robustlr_cli"}
    assert {"robustlr/py.typed", "robustlr_cli/py.typed", "robustlr/studies/digits.toml"} <= names
    assert any(name.startswith("robustlr/report/templates/") for name in names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)

    empty = tmp_path / "empty"
    empty.mkdir()
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(installed)!r})\n"
        "import robustlr, robustlr_cli\n"
        f"assert robustlr.__file__.startswith({str(installed)!r}), robustlr.__file__\n"
        "from robustlr_cli.app import main\n"
        "from robustlr.specs import packaged_studies\n"
        f"assert str(packaged_studies()['digits']).startswith({str(installed)!r})\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *command],
            cwd=empty, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(installed)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "digits" in run("study", "list")
    run("study", "init", "mine")
    edited = (empty / "mine.toml").read_text().replace("seeds = 6", "seeds = 1")
    edited = edited.replace("low = 1e-3", "low = 0.1").replace("high = 10.0", "high = 0.2")
    (empty / "mine.toml").write_text(edited.replace("num_steps = 400", "num_steps = 20"))
    page = Path(run("study", "run", "mine.toml").splitlines()[-1])
    assert (empty / page).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
