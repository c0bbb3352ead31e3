"""A name for the code behind a workload: equal on two machines where the files are equal."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache
from types import ModuleType

from robustlr.workloads.base import Workload


def code_hash(workload: Workload) -> str:
    """Hash of the source files of the workload's class and of the classes it builds on.

    Libraries are left out: their versions stand in the provenance. A class without a source file
    (made in a session, say) counts by its name.
    """
    return _hash(type(workload))


@cache
def _hash(workload: type[Workload]) -> str:
    digest = hashlib.sha256()
    for kind in workload.__mro__:
        module = sys.modules.get(kind.__module__)
        if module is None or _is_library(module):
            continue
        digest.update(kind.__qualname__.encode())
        try:
            digest.update(inspect.getsource(module).encode())
        except (OSError, TypeError):
            continue
    return digest.hexdigest()[:12]


def _is_library(module: ModuleType) -> bool:
    top = module.__name__.partition(".")[0]
    if top == "robustlr":
        return False
    file = getattr(module, "__file__", None) or ""
    return top in sys.stdlib_module_names or "site-packages" in file
