"""Where and with what a result was made: read once, never a reason to fail."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import robustlr
from robustlr.training.provenance import provenance


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    provenance.cache_clear()
    yield
    provenance.cache_clear()


def test_versions_device_and_commit() -> None:
    facts = provenance("cpu")
    assert facts["robustlr"] == robustlr.__version__
    for package in ("torch", "accelerate", "numpy", "pytorch_optimizer"):
        assert facts[package] == version(package)
    assert facts["python"] == platform.python_version()
    assert int(facts["threads"]) >= 1
    assert facts["device"]
    assert all(isinstance(value, str) for value in facts.values())


def test_the_commit_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    monkeypatch.chdir(tmp_path)
    commit = git("rev-parse", "--short=12", "HEAD").strip()
    assert provenance("cpu")["git_commit"] == commit
    provenance.cache_clear()
    (tmp_path / "file").write_text("2")
    assert provenance("cpu")["git_commit"] == f"{commit}-dirty"


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance("cpu")["git_commit"] == "unknown"
    provenance.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance("cpu")["git_commit"] == "unknown"
