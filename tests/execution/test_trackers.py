"""Trackers of a study: named in its file, refused before any cell runs, kept in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustlr.errors import RobustlrError, SpecError
from robustlr.execution import Drive
from robustlr.records import RunPaths
from robustlr.training import require_trackers
from tests.small_study import small_spec


def test_an_unknown_tracker_is_refused_with_the_file() -> None:
    with pytest.raises(SpecError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        small_spec(execution={"trackers": ["tensorbord"]})


@pytest.mark.slow
def test_a_tracker_that_is_not_installed_is_told_before_any_cell(tmp_path: Path) -> None:
    require_trackers(("tensorboard",))
    told = "execution.trackers: wandb cannot be imported here: pip install wandb"
    with pytest.raises(SpecError, match=told):
        require_trackers(("tensorboard", "wandb"))
    paths = RunPaths(tmp_path / "run")
    spec = small_spec(execution={"trackers": ["wandb"]})
    with pytest.raises(RobustlrError, match=told):
        Drive(spec=spec, paths=paths, workers=1).run(lambda _: None)
    assert not list(paths.cells.iterdir())


@pytest.mark.slow
def test_a_study_keeps_its_trackers_in_its_folder(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "run")
    spec = small_spec(seeds=1, execution={"trackers": ["tensorboard"]})
    Drive(spec=spec, paths=paths, workers=1).run(lambda _: None)
    names = sorted(folder.name for folder in (paths.root / "trackers").iterdir())
    assert len(names) == 4
    assert names[0].startswith("cosine-lr=0.1-seed=0-logistic-")
