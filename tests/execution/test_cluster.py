"""When a cluster is given up: when jobs end and nothing came of them. SLURM is a stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustlr.errors import ClusterError
from robustlr.execution.cluster import ClusterDrive
from robustlr.records import RunPaths
from robustlr.study import Tally
from tests.small_study import small_spec


class Cluster:
    """Every job ends before it is looked at again."""

    def __init__(self, paths: RunPaths) -> None:
        self.submitted = 0
        self.paths = paths
        self.drive = ClusterDrive(spec=small_spec(), paths=paths, workers=1)

    def submit(self, *_: object) -> str:
        self.submitted += 1
        return str(self.submitted)

    def look(self, finished: int) -> int:
        """Jobs that were submitted so far, once so many cells have ended."""
        self.drive._staff(Tally(8 - finished, 0, 0, None), finished)
        return self.submitted


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    paths = RunPaths(tmp_path / "run")
    paths.create()
    found = Cluster(paths)
    monkeypatch.setattr("robustlr.execution.slurm.living", lambda arrays: {})
    monkeypatch.setattr("robustlr.execution.slurm.submit", found.submit)
    return found


def test_jobs_that_end_in_vain_twice_in_a_row_are_the_last(cluster: Cluster) -> None:
    assert [cluster.look(0), cluster.look(0)] == [1, 2]
    with pytest.raises(ClusterError, match="2 times all jobs ended before a cell was done"):
        cluster.look(0)


def test_a_cell_that_ends_between_them_takes_the_blame_away(cluster: Cluster) -> None:
    looks = [cluster.look(finished) for finished in (0, 0, 1, 1, 2, 5, 5)]
    assert looks == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(ClusterError, match="2 times"):
        cluster.look(5)


def test_so_does_a_checkpoint_that_moves_on(cluster: Cluster) -> None:
    """Of a cell that takes many jobs' time."""
    checkpoint = cluster.paths.checkpoint("a")
    for update in range(4):
        checkpoint.with_suffix(".new").write_bytes(bytes(update))
        checkpoint.with_suffix(".new").replace(checkpoint)
        assert cluster.look(0) == 2 * update + 1
        assert cluster.look(0) == 2 * update + 2
    with pytest.raises(ClusterError, match="2 times"):
        cluster.look(0)
