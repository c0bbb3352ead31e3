"""A storage, or a worker of one, that is not what it should be: one clear line, and no password."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import pytest

from robustlr.records import RunPaths
from robustlr.specs import load_study, without_password
from robustlr.study import open_queue, with_storage
from robustlr_cli.app import main
from tests.cli.workers import finish, queue_of, slow_study, start, wait_until
from tests.postgres import Server
from tests.small_study import small_spec, write_study

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


@pytest.mark.parametrize("command", ["run", "worker"])
def test_a_role_that_may_not_make_tables(
    tmp_path: Path, postgres: Server, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Which is PostgreSQL's default from 15 on."""
    study, (_, address) = write_study(tmp_path), postgres.new_role()
    more = ["--out", str(tmp_path / "run"), "--storage", address]
    assert main(["study", command, str(study), *more]) == 1
    said = capsys.readouterr().err
    assert (
        "permission denied for schema public; let the owner of the database say `GRANT USAGE, "
        in (said)
    )
    assert said.startswith(f"robustlr: storage {without_password(address)}: ")
    assert said.count("\n") == 1
    assert postgres.password not in said


def test_a_role_that_was_given_the_right(tmp_path: Path, postgres: Server) -> None:
    _, address = postgres.new_role("USAGE, CREATE ON SCHEMA public")
    spec = with_storage(load_study(write_study(tmp_path)), address)
    assert len(open_queue(spec, RunPaths(tmp_path / "run")).waiting()) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE alembic_version SET version_num = 'v9.9.9'", "is no longer compatible with the"),
        ("ALTER TABLE studies RENAME study_name TO title", 'column "study_name" does not exist'),
    ],
)
def test_a_database_of_another_optuna(
    tmp_path: Path,
    database: str,
    capsys: pytest.CaptureFixture[str],
    change: str,
    words: str,
) -> None:
    open_queue(small_spec(name="older", execution={"storage": database}), RunPaths(tmp_path))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(change.encode())
    study, out = write_study(tmp_path), tmp_path / "run"
    assert main(["study", "worker", str(study), "--out", str(out), "--storage", database]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert "unexpected" not in said


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
            (other_code, "robustlr: the code of workload 'make' differs here from that of the"),
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
