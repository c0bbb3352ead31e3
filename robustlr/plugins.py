"""Other people's code by name: the object behind "package.module:name"."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from robustlr.errors import WorkloadError
from robustlr.whereabouts import located


def import_object(path: str) -> Any:
    """The object at "package.module:name", also from the current folder.

    Raises WorkloadError with what could not be found.
    """
    module_name, _, attribute = path.partition(":")
    found: Any = _import(module_name, path)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise WorkloadError(f"'{path}': the module '{module_name}' has no '{attribute}'")
        found = getattr(found, name)
    return found


def _import(module_name: str, path: str) -> Any:
    try:
        # A console script has its own folder on the path and not the user's. At the end, so
        # that nothing installed is hidden; it stays, since the module may import more later.
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and (
            module_name == error.name or module_name.startswith(f"{error.name}.")
        )
        hint = "; run from the folder that holds it" if missing else ""
        raise WorkloadError(f"'{path}' cannot be imported: {located(error)}{hint}") from error
