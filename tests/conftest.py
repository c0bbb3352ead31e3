"""What every test may rely on: caches are in a folder of this test run.

And what some ask for by name: a SLURM cluster, a PostgreSQL server.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server, running_server
from tests.slurm import cluster, why_no_cluster


def pytest_configure(config: pytest.Config) -> None:
    """Before anything reads these variables; subprocesses inherit them."""
    folder = tempfile.mkdtemp(prefix="robustlr-tests-")
    os.environ["HF_HOME"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["ROBUSTLR_CACHE"] = os.path.join(folder, "robustlr")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The slurm.conf of a cluster of one node, which SLURM's commands find from here on."""
    if why := why_no_cluster():
        pytest.skip(why)
    with cluster() as configuration, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(configuration))
        yield configuration


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; who stops it starts it again."""
    with running_server() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> str:
    """The address, password included, of an empty database of the test's own."""
    return postgres.new_database(f"test_{secrets.token_hex(4)}")
