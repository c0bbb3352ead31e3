"""The errors a person can mend: one line that says what, where, and how.

Every error that robustlr raises on purpose is a `RobustlrError`. Its text is a single
sentence for the user; the command line prints that sentence and exits with `exit_code`,
and shows the traceback only under ``--debug``. Anything else that escapes is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class RobustlrError(Exception):
    """Base of every error with a message meant for the user."""

    exit_code: ClassVar[int] = 1


class SpecError(RobustlrError, ValueError):
    """A study file, a flag or an argument that cannot be used as written.

    Also a ValueError, so that pydantic adds the path of the key to it.
    """


class DataError(RobustlrError):
    """Data, a record or a result file that is missing, damaged or not what it should be."""


class WorkloadError(RobustlrError):
    """A workload (ours or the user's) that cannot be built or trained."""


class StorageError(RobustlrError):
    """A folder, a disk or a study storage that cannot be read or written."""


class ClusterError(RobustlrError):
    """A scheduler that is not there, or refuses what it is asked."""


class StudyConflictError(RobustlrError):
    """A study on disk that contradicts what it is asked to do now."""


class CellStoppedError(RobustlrError):
    """The training of a cell was told to stop, and did; the cell is to go on another time."""


class CellsFailedError(RobustlrError):
    """The study ended, but some of its cells failed."""

    exit_code: ClassVar[int] = 3


class InterruptedStudyError(RobustlrError):
    """The user interrupted a study; nothing is lost."""

    exit_code: ClassVar[int] = 130


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 3, otherwise: str = "") -> str:
    """A tail for an error message: the nearest known names, or `otherwise`, or all of them.

    >>> did_you_mean("cosin", ["cosine", "fixed"])
    "did you mean 'cosine'?"
    >>> did_you_mean("zzz", ["fixed", "cosine"])
    'known: cosine, fixed'
    >>> did_you_mean("zzz", ["fixed", "cosine"], otherwise="there are two")
    'there are two'
    >>> did_you_mean("zzz", [])
    'none is known'
    """
    names = sorted(known)
    if not names:
        return "none is known"
    near = difflib.get_close_matches(name, names, n=limit, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"'{match}'" for match in near) + "?"
    return otherwise or "known: " + ", ".join(names)


def one_line(text: str) -> str:
    """Fold any white space, line breaks included, into single spaces.

    >>> one_line("a\\n  b")
    'a b'
    """
    return " ".join(text.split())
