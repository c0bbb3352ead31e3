"""Which queue a study has: a journal in its folder, or a database for several machines."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from robustlr.records import RunPaths
from robustlr.specs import StudySpec
from robustlr.study.queue import CellQueue

PATIENCE_SECONDS = 3600.0
"""How long a database may be away in the middle of a run."""

STORAGE_VARIABLE = "ROBUSTLR_STORAGE"
"""Environment variable with the storage's address, password and all; goes before the spec's."""


def with_storage(spec: StudySpec, storage: str | None = None) -> StudySpec:
    """The spec with the storage given, or that of the environment, or its own, in this order.

    Raises SpecError for an address that is none.
    """
    chosen = storage if storage is not None else os.environ.get(STORAGE_VARIABLE)
    if not chosen:
        return spec
    execution = dataclasses.replace(spec.execution, storage=chosen)
    return dataclasses.replace(spec, execution=execution)


def open_queue(
    spec: StudySpec,
    paths: RunPaths,
    *,
    patient: bool = False,
    patience: float = PATIENCE_SECONDS,
    create: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> CellQueue:
    """The queue of a study. Raises StorageError.

    patient: wait for a database that is away from the start, too. patience: seconds to wait for
    it later; a few, once `stop` says that we were told to stop. create: begin a study that is not
    there, which is an error otherwise.
    """
    if spec.execution.storage:
        from robustlr.study.postgresql_queue import PostgresqlQueue

        return PostgresqlQueue(
            spec.execution.storage,
            spec.name,
            first_patience=PATIENCE_SECONDS if patient else 0.0,
            patience=patience,
            create=create,
            stop=stop,
        )
    from robustlr.study.journal_queue import JournalQueue

    return JournalQueue(paths, spec.name, create=create)
