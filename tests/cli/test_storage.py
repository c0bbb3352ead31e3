"""A storage, or a worker of one, that is not what it should be: one clear line, and no password."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from robustlr_cli.app import main
from tests.cli.workers import finish, queue_of, slow_study, start, wait_until
from tests.postgres import Server
from tests.small_study import write_study

SECRET = "s3cr3t"


NOT_SHOWN = "storage must be postgresql://user@host/database; what is given is not, and is not "


@pytest.mark.parametrize("command", ["run", "worker"])
@pytest.mark.parametrize(
    ("address", "line"),
    [
        *(
            (address.format(SECRET), NOT_SHOWN)
            for address in (
                "mysql://me:{}@db.example/studies",
                "host=h user=me password={}",
                "me:{}@h/x",
                "postgresql:me:{}@h/x",
                "postgresql//me:{}@h/x",
                "postgresql://me:{}/studies",  # the host forgotten
                "postgresql://me@h/x;password={}",
                "postgresql://me:a/{}@h/x",  # to be written %2F
                "postgresql://me:a@{}@h/x",
                "postgresql:///me:{}@h",
                "postgresql://me@h/x#{}",
                "postgresql://me@h/x?sslmode=require;password={}",
            )
        ),
        (
            f"postgresql://me@127.0.0.1/studies?pasword={SECRET}",
            "storage postgresql://me@127.0.0.1/studies: is not an address PostgreSQL can read; ",
        ),
        (
            f"postgresql://me:{SECRET}%zz@127.0.0.1/studies",
            "storage postgresql://me@127.0.0.1/studies: is not an address PostgreSQL can read; ",
        ),
        (
            f"postgresql://me:{SECRET}@127.0.0.1:1/studies",
            "storage postgresql://me@127.0.0.1:1/studies: cannot be reached: ",
        ),
        (
            f"postgresql://me:{SECRET}@no.such.host.invalid/studies",
            "storage postgresql://me@no.such.host.invalid/studies: cannot be reached: ",
        ),
    ],
)
def test_an_address_that_leads_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, address: str, line: str
) -> None:
    study, out = write_study(tmp_path), tmp_path / "run"
    assert main(["study", command, str(study), "--out", str(out), "--storage", address]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"robustlr: {line}")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert SECRET not in said.err
    assert all(SECRET not in file.read_text() for file in out.rglob("*") if file.is_file())


def test_a_database_that_is_not_there(
    tmp_path: Path, postgres: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    study, address = write_study(tmp_path), postgres.url_of("nowhere")
    assert main(["study", "worker", str(study), "--storage", address]) == 1
    said = capsys.readouterr().err
    assert 'database "nowhere" does not exist' in said
    assert said.count("\n") == 1
    assert postgres.password not in said


OTHER_VERSION = "import robustlr\nrobustlr.__version__ = '0.0.1'\n"


@pytest.mark.slow
def test_a_machine_with_other_code_or_another_robustlr(tmp_path: Path, database: str) -> None:
    """While a worker is at work whose code is the study's."""
    here, there, out = tmp_path / "here", tmp_path / "there", tmp_path / "run"
    here.mkdir()
    study, slow = slow_study(here)
    shutil.copytree(here, there)
    with open(there / "slowly.py", "a", encoding="utf-8") as code:
        code.write("\n# an edit\n")
    (tmp_path / "sitecustomize.py").write_text(OTHER_VERSION, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])

    worker = start("worker", study, out, database)
    try:
        wait_until(queue_of(study, out, database).running)
        other_code = start("worker", there / study.name, out, database)
        other_version = start("worker", study, out, database, environment={"PYTHONPATH": path})
        for refused, line in (
            (other_code, "robustlr: the code of workload 'make' here differs from that of the"),
            (other_version, "robustlr: the workers of 'small' run robustlr "),
        ):
            said, _ = refused.communicate()
            assert refused.returncode == 1, said
            assert said.splitlines()[-1].startswith(line)
            assert "Traceback" not in said
        assert ", and this is 0.0.1; install " in said
        slow.unlink()
        assert finish(worker).splitlines()[-1].endswith(" ran 16")
    finally:
        worker.kill()
