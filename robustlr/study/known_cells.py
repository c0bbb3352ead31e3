"""The cells of a study by key, also of one that is extended while its workers are at work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from robustlr.errors import RobustlrError
from robustlr.records import RunPaths, read_spec, remote_of
from robustlr.specs import Cell, StudySpec


class KnownCells(Mapping[str, Cell]):
    """Those of `spec`, and those of the spec that stands in the study's folder by now.

    It is read again for a key that is not known: `study run` writes it down before it lets the
    cells of an extension wait.
    """

    def __init__(self, spec: StudySpec, paths: RunPaths) -> None:
        self._spec, self._paths = spec, paths
        self._cells = {cell.key: cell for cell in spec.cells()}

    def __getitem__(self, key: str) -> Cell:
        if key not in self._cells:
            self._read_again()
        return self._cells[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def _read_again(self) -> None:
        with suppress(RobustlrError):  # then nobody can tell what the key means
            if (remote := remote_of(self._spec, self._paths)) is not None:
                remote.fetch(self._paths.spec.name)
            standing = read_spec(self._paths)
            self._cells |= {cell.key: cell for cell in standing.cells()}
