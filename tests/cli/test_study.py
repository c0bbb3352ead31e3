"""robustlr study, as a user types it."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from robustlr.records import RunPaths, load_results, read_spec, write_json
from robustlr.specs import StudySpec, load_study, packaged_studies
from robustlr.study import plan, prepare, work
from robustlr_cli.app import main
from tests.small_study import runner, small_spec, write_study


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of(capsys: pytest.CaptureFixture[str], *command: str, code: int = 1) -> str:
    assert main(list(command)) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def lose(monkeypatch: pytest.MonkeyPatch, how: list[str]) -> None:
    """Each round of a run answers at once, and then loses or cuts its first result, or does not."""

    def run_here(study: str, spec: StudySpec, paths: RunPaths, *_: object, **__: object) -> None:
        prepare(spec, paths)
        work(paths, "0", runner())
        result, way = paths.cell(next(spec.cells()).key), how.pop(0)
        if way == "lost":
            result.unlink()
        elif way == "cut":
            os.truncate(result, 100)

    monkeypatch.setattr("robustlr_cli.study.run_here", run_here)


@pytest.mark.parametrize("way", ["lost", "cut"])
def test_results_that_are_lost_meanwhile_are_made_again(
    way: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, paths = write_study(here), RunPaths(here / "runs" / "small")
    lose(monkeypatch, how=[way, ""])
    assert main(["study", "run", str(study), "--no-report"]) == 0
    said = capsys.readouterr().err
    assert "small: 1 results were lost or damaged meanwhile; their cells run again" in said
    assert "8 cells completed, 0 diverged; results" in said
    assert len(plan(load_study(study), paths).done) == 8


def test_results_that_are_lost_whenever_they_are_made_are_exit_code_3(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study, ways = write_study(here), ["lost", "cut", "lost"]
    lose(monkeypatch, ways)
    line = error_of(capsys, "study", "run", str(study), "--no-report", code=3).splitlines()[-1]
    assert line.startswith(
        "robustlr: 1 of 8 cells have no result that can be read, though they ran"
    )
    assert ways == []


@pytest.mark.slow
def test_from_init_to_report_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(here)
    assert main(["study", "run", str(study), "--workers", "2"]) == 0
    captured = capsys.readouterr()
    page = Path(captured.out.splitlines()[-1])  # the report's path comes last
    assert page == Path("runs/small/report/report.html")
    assert page.is_file()
    assert "8/8 cells, done in" in captured.err

    assert main(["study", "status", str(study), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["completed"], status["missing"], status["failures"]) == (8, 0, [])
    for known_as in ("small", "runs/small"):  # a run is found by its name and by its folder
        assert main(["study", "show", known_as, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["name"] == "small"
    assert main(["study", "list", "--json"]) == 0
    listed = {row["study"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed["small"]["done"] == listed["small"]["cells"] == 8
    assert set(packaged_studies()) <= set(listed)

    write_study(here, num_steps=30)
    for command in (["study", "run"], ["compare"], ["report", "build"]):
        assert "num_steps: [20] -> [30]" in error_of(capsys, *command, str(study))
    assert main(["study", "plan", "runs/small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["to_run"] == 0


@pytest.mark.slow
def test_a_factory_that_raises_fails_its_cells_and_is_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.py").write_text(
        "from robustlr.workloads.logistic import Logistic\n"
        "class Mine(Logistic):\n"
        "    def model(self, seed):\n"
        "        if seed == 1:\n"
        "            raise RuntimeError('my own mistake')\n"
        "        return super().model(seed)\n"
        "def make(dim):\n"
        "    return Mine(dim=dim, samples=60)\n"
    )
    study = write_study(here, workload='factory = "mine:make"\ndim = 3')
    error = error_of(capsys, "study", "run", str(study), code=3)
    assert "4 of 8 cells failed" in error
    assert "  4 cells failed: RuntimeError('my own mistake')" in error
    assert "RuntimeError('my own mistake')" in error
    logs = list(Path("runs/small/logs").glob("cell-*.log"))
    assert len(logs) == 4
    assert "Traceback" in logs[0].read_text()
    assert main(["study", "status", str(study)]) == 0
    assert "my own mistake" in capsys.readouterr().out
    assert Path("runs/small/report/report.html").is_file()  # of what did not fail


@pytest.mark.slow
def test_a_sharded_study_from_its_accelerate_configuration(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "fsdp.yaml").write_text("distributed_type: FSDP\nfsdp_config: {fsdp_version: 2}\n")
    study = write_study(here, seeds=1, high=0.1, num_steps=10)
    options = 'processes_per_cell = 2\naccelerate_config = "fsdp.yaml"\nema_decay = 0.9\n'
    study.write_text(study.read_text().replace("[training]\n", f"[training]\n{options}"))
    assert main(["study", "run", str(study), "--workers", "1", "--no-report"]) == 0
    assert "2 cells completed" in capsys.readouterr().err
    (here / "fsdp.yaml").write_text("distributed_type: MULTI_GPU\n")
    error = error_of(capsys, "study", "run", str(study))
    assert "fsdp.yaml: distributed_type must be FSDP, got MULTI_GPU" in error.replace("\n", " ")


@pytest.mark.slow
def test_a_study_beside_its_own_code_runs_from_anywhere(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = here / "project"
    project.mkdir()
    (project / "beside.py").write_text(
        "from robustlr.workloads.logistic import Logistic\n"
        "def make():\n"
        "    return Logistic(dim=3, samples=60)\n"
    )
    study = write_study(project, workload='factory = "beside:make"', seeds=1)
    monkeypatch.setattr(sys, "path", sys.path[:])
    assert main(["study", "plan", str(study)]) == 0
    assert main(["study", "run", str(study), "--out", "out", "--no-report"]) == 0
    paths = RunPaths(Path("out"))
    assert len(load_results(paths, read_spec(paths)).runs) == 4
    assert not (here / "out" / "report").exists()


def test_plan_changes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(here)
    assert main(["study", "plan", str(study), "--json", "--workers", "4"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert (planned["cells"], planned["to_run"], planned["updates_to_make"]) == (8, 8, 160)
    assert planned["estimated_seconds"] >= 0.0
    seen = 8 * 160  # examples; logistic regression in 3 dimensions is 3 multiply-adds of each
    assert planned["training_FLOPs"] == pytest.approx(3 * 2 * 3 * seen, rel=0.01)
    assert sorted(path.name for path in here.iterdir()) == ["small.toml"]
    assert main(["study", "plan", str(study), "--no-measure", "--tflops", "0.001"]) == 0
    shown = capsys.readouterr().out
    assert "estimated" not in shown
    assert "6.4e-09 GPU-hours at 0.001 TFLOP/s" in shown


@pytest.mark.parametrize("command", ["plan", "plan --no-measure", "run"])
def test_a_mistake_in_the_user_s_own_loss_is_told_before_any_cell_runs(
    here: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (here / "own_loss.py").write_text(
        "from robustlr.workloads.logistic import Logistic\n"
        "class Own(Logistic):\n"
        "    def loss(self, model, batch):\n"
        "        raise ValueError('shape mismatch')\n"
        "def make():\n"
        "    return Own(dim=3, samples=60)\n"
    )
    study = write_study(here, workload='factory = "own_loss:make"')
    error = error_of(capsys, "study", *command.split(), str(study), code=1)
    said = "robustlr: workload 'make' raised ValueError: shape mismatch (own_loss.py, line 4)"
    assert error.splitlines()[-1] == said
    assert not list(here.glob("runs/small/cells/*"))


@pytest.mark.parametrize("factory", ["nowhere:make", "os:make", "builtins:dir"])
def test_a_workload_that_cannot_be_had_is_told_once(
    here: Path, capsys: pytest.CaptureFixture[str], factory: str
) -> None:
    study = write_study(here, workload=f'factory = "{factory}"\nsize = 3')
    error = error_of(capsys, "study", "plan", "--no-measure", str(study))
    assert error.startswith("robustlr: ")
    assert error.count(factory) == error.count("\n") == 1


def test_init_writes_a_study_that_loads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "init", "mine"]) == 0
    assert capsys.readouterr().out == "mine.toml\n"
    assert load_study(Path("mine.toml")).name == "mine"
    assert "exists already; --force" in error_of(capsys, "study", "init", "mine")
    assert main(["study", "init", "mine", "--force"]) == 0
    assert main(["study", "init", "mine-v1.2"]) == 0
    assert load_study(Path("mine-v1.2.toml")).name == "mine-v1.2"
    nowhere = error_of(capsys, "study", "init", "a/b").splitlines()[-1]
    assert nowhere == "robustlr: a: no such folder; make it, or write b.toml elsewhere"
    for nothing in ("", ".", ".toml"):
        assert "is no name for a study" in error_of(capsys, "study", "init", nothing)


def test_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"workload", "schedule", "grid", "seeds", "batch_size"} <= set(schema["required"])


@pytest.mark.parametrize("name", sorted(packaged_studies()))
def test_every_packaged_study_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "show", name]) == 0
    out = capsys.readouterr().out
    assert name in out
    assert max(map(len, out.splitlines())) <= 80


def test_status_of_a_study_that_never_ran(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "status", str(write_study(here)), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["missing"] == 8
    assert "with_a_checkpoint" not in told


def test_status_counts_the_cells_that_were_put_aside(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = RunPaths(here / "runs" / "small")
    paths.create()
    paths.checkpoint("0123456789").touch()
    assert main(["study", "status", str(write_study(here)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["with_a_checkpoint"] == 1


def test_bad_studies_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such study file" in error_of(capsys, "study", "run", "absent.toml")
    Path("bad.toml").write_text("seeds = [1,\n[grid]\n")
    assert "bad.toml: not valid TOML" in error_of(capsys, "study", "run", "bad.toml")
    unknown = write_study(here, more="[execution]\nworkerz = 3")
    assert "execution.workerz: unknown key" in error_of(capsys, "study", "run", str(unknown))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = here / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    error = error_of(capsys, "study", "run", str(write_study(here)), "--out", str(locked / "run"))
    assert "choose another with --out" in error


def test_a_damaged_spec_in_a_run_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = here / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "spec.json").write_text('{"name": "x"')
    assert "spec.json: is damaged" in error_of(capsys, "study", "status", str(run))
    assert main(["study", "list"]) == 0  # the other studies are listed all the same
    captured = capsys.readouterr()
    assert "digits" in captured.out
    assert "spec.json: is damaged" in captured.err


def test_a_folder_is_meant_before_a_packaged_study_and_that_before_its_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = here / "runs" / "digits"
    run.mkdir(parents=True)
    write_json(RunPaths(run).spec, small_spec().table())

    def shown() -> str:
        assert main(["study", "show", "digits", "--json"]) == 0
        return str(json.loads(capsys.readouterr().out)["name"])

    assert shown() == "digits"
    monkeypatch.chdir(here / "runs")
    assert shown() == "small"
