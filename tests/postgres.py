"""A PostgreSQL server of the tests' own: a fresh cluster on a free port, stopped and started."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, DATABASE = "robustlr", "studies"


class Server:
    """A private cluster in `folder`; its one user has a password."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self.folder, self._programs, self._user = folder, programs, user
        self.password = f"secret{secrets.token_hex(8)}"
        self.port = _free_port()
        file = folder / "password"
        file.write_text(self.password)
        if user:
            entry = pwd.getpwnam(user)
            for path in (folder, file):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        self._call(
            "initdb", "--pgdata", str(self._data), "--username", USER, "--auth", "scram-sha-256",
            "--pwfile", str(file), "--no-sync", "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        self.start()
        self.new_database(DATABASE)

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Make an empty database; its address."""
        import psycopg

        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url_of(name)

    def new_role(self, rights: str = "") -> tuple[str, str]:
        """Make an empty database, and a role that may connect to it and has `rights`, such as
        "CREATE ON SCHEMA public", beside: the address for the owner, and that for the role."""
        import psycopg

        name = f"role_{secrets.token_hex(4)}"
        address = self.new_database(f"of_{name}")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{self.password}'".encode())
            connection.execute(b"REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # older than 15
            if rights:
                connection.execute(f"GRANT {rights} TO {name}".encode())
        return address, address.replace(f"//{USER}:", f"//{name}:")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}"
        log = str(self.folder / "log")
        self._call("pg_ctl", "start", "-w", "-D", str(self._data), "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """End it; "immediate" is what a crash looks like to its clients."""
        self._call("pg_ctl", "stop", "-w", "-D", str(self._data), "-m", mode)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
            extra_groups=None if self._user is None else [],
            cwd=self.folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def running_server() -> Iterator[Server]:
    """A server for as long as the context lasts. Skips the test where there can be none."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not on this machine")
    folder = Path(tempfile.mkdtemp(prefix="robustlr-pg-"))  # readable by its user, a short path
    try:
        server = Server(folder, programs, _unprivileged())
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest version first."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return versions[0].parent if versions else None


def _unprivileged() -> str | None:
    """Somebody else to run it where we are root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
