"""What the workers of a study must have in common: its folder, robustlr, the workload's code.

The first one writes it into the storage; whoever comes later and differs is told in one line.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

import robustlr
from robustlr.errors import StorageError, StudyConflictError
from robustlr.records import RunPaths, RunRecord
from robustlr.specs import StudySpec
from robustlr.study.queue import CellQueue
from robustlr.study.vigil import lately

_AGREEMENTS = "code "  # in front of the names of those that last as long as somebody is at work
_CODE_OF = _AGREEMENTS + "workload {}"
_FOLDER = "folder"
_TOKEN_LENGTH = 32
_PATIENCE_SECONDS = 5.0  # until a token that another is writing is whole


def share_folder(spec: StudySpec, paths: RunPaths, queue: CellQueue) -> None:
    """Make sure that `paths` is the folder of everybody who works on this study.

    Raises StudyConflictError where it is not, StorageError where it cannot be written.
    """
    if queue.one_machine:  # the queue is in the folder itself
        return
    where = spec.execution.results
    if where:  # an address is the same for everybody
        mine = hashlib.sha256(where.encode()).hexdigest()[:_TOKEN_LENGTH]
    else:
        where, mine = f"{socket.gethostname()}:{paths.root.resolve()}", _token(paths)
    standing, _, shared = queue.agree(_FOLDER, f"{mine} {where}").partition(" ")
    if standing != mine:
        raise StudyConflictError(
            f"{where}: is not where the study '{spec.name}' in this storage keeps its results, "
            f"which is {shared}; share that and name it with --out, or give this study another name"
        )


def agree_on_version(spec: StudySpec, queue: CellQueue) -> None:
    """Raises StudyConflictError where others work on the study with another robustlr."""
    mine = robustlr.__version__
    standing = queue.agree(f"{_AGREEMENTS}robustlr", mine)
    if standing != mine:
        raise StudyConflictError(
            f"the workers of '{spec.name}' run robustlr {standing}, and this is {mine}; install "
            f"{standing} here"
        )


def agree_on_code(queue: CellQueue, workload: str, code: str) -> None:
    """Raises StudyConflictError where the study's results, or others who work on it, have other
    code behind the workload so labelled.
    """
    if queue.agree(_CODE_OF.format(workload), code) != code:
        raise StudyConflictError(
            f"the code of workload '{workload}' differs here from that of the study's results or "
            "other workers; bring the same code to every machine, give the changed study another "
            "--out, or say `study run --new-code` if the change alters no result"
        )


def begin_agreements(
    spec: StudySpec,
    paths: RunPaths,
    queue: CellQueue,
    results: Iterable[RunRecord],
    *,
    new_code: bool = False,
) -> None:
    """Agree on what is agreed; where nobody is at work, on this robustlr and the results' code.

    new_code: any code, instead of that of the results. Raises StudyConflictError where others work
    on the study with another robustlr.
    """
    queue.forget_agreements(_AGREEMENTS, unless_alive=lately(spec))
    if not new_code:
        _agree_with_results(queue, paths, results)
    agree_on_version(spec, queue)


def _agree_with_results(queue: CellQueue, paths: RunPaths, records: Iterable[RunRecord]) -> None:
    """Let whoever comes now agree with the code of the newest result of every workload."""
    newest: dict[str, tuple[int, str]] = {}
    for record in records:
        code = record.provenance.get("workload_code", "")
        with suppress(FileNotFoundError):  # put aside at this moment
            made = paths.cell(record.cell.key).stat().st_mtime_ns
            label = record.cell.workload.label
            newest[label] = max(newest.get(label, (0, "")), (made, code))
    for label, (_, code) in newest.items():
        if code:
            queue.agree(_CODE_OF.format(label), code)


def _token(paths: RunPaths) -> str:
    """The folder's token, made if it has none; of two that make one at once, the first counts."""
    try:
        with suppress(FileExistsError), open(paths.token, "x", encoding="ascii") as file:
            try:
                file.write(secrets.token_hex(_TOKEN_LENGTH // 2))
                file.flush()
                os.fsync(file.fileno())
            except OSError:  # a full disk: half a token would be in everybody's way
                paths.token.unlink()
                raise
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(token := paths.token.read_text(encoding="ascii")) != _TOKEN_LENGTH:
            if time.monotonic() > deadline:
                raise StorageError(f"{paths.token}: is damaged; remove it")
            time.sleep(0.05)
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{paths.token}: cannot be written or read: {error}") from error
    return token
