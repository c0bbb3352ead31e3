"""What every test may rely on: Hugging Face libraries keep to a folder of this test run."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Before anything reads these variables; subprocesses inherit them."""
    folder = tempfile.mkdtemp(prefix="robustlr-tests-")
    os.environ["HF_HOME"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
