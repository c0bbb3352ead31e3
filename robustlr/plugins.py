"""Other people's code by name: the object behind "package.module:name"."""

from __future__ import annotations

import importlib
from typing import Any

from robustlr.errors import WorkloadError, one_line


def import_object(path: str) -> Any:
    """The object at "package.module:name". Raises WorkloadError with what could not be found."""
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        detail = one_line(f"{type(error).__name__}: {error}")
        raise WorkloadError(
            f"'{path}' cannot be imported: {detail}; run from the folder that holds it"
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise WorkloadError(f"'{path}': the module '{module_name}' has no '{attribute}'")
        found = getattr(found, name)
    return found
