"""Where other people's code went wrong: the line of theirs that an error came from."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from robustlr.errors import one_line

_LIBRARIES = (
    Path(__file__).parent,
    *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")),
)
_INSTALLED = {"site-packages", "dist-packages"}


def located(error: BaseException) -> str:
    """The error in one line, with the innermost line of code that was neither robustlr's nor
    installed, where there is one: "KeyError: 'test' (my_workload.py, line 12)".
    """
    said = one_line(f"{type(error).__name__}: {error}")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_own(Path(frame.filename)):
            return f"{said} ({Path(frame.filename).name}, line {frame.lineno})"
    return said


def _is_own(file: Path) -> bool:
    if _INSTALLED & set(file.parts) or not file.is_file():  # such as <frozen importlib>
        return False
    return not any(file.is_relative_to(folder) for folder in _LIBRARIES)
