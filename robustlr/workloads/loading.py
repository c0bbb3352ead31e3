"""Batches that take time to load, made ahead of need by worker processes.

Workers come from a fork server: a process with threads, as ours is once torch has computed, must
not be forked. They end when the stream is closed and when the process that asked ends, however it
ends. What goes wrong in a worker comes back as the sentence that it is.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from robustlr.errors import DataError
from robustlr.workloads.base import Batch
from robustlr.workloads.streams import Draw, Request

_AHEAD = 2  # batches that each worker prepares before they are asked for

Load = Callable[[Request], Batch]


def loaded_ahead(
    load: Load, requests: Iterable[Request], *, workers: int, device: torch.device
) -> Generator[Batch, None, None]:
    """load(request) of each request in order, on `device`, made in processes of their own.

    workers: how many; no more are started than there are processors.
    load: sent to the workers once (pickled by our own process, never read from a file); returns
    tensors on the CPU. For a GPU they go through pinned memory, without waiting.
    Raises what `load` raises as a RobustlrError, and DataError where a worker dies.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once for all workers
    loader = DataLoader(
        _Loads(load),
        sampler=_Packed(requests),
        batch_size=None,
        num_workers=min(workers, len(os.sched_getaffinity(0))),
        prefetch_factor=_AHEAD,
        collate_fn=_unchanged,
        worker_init_fn=_end_with_asker,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # torch's own would be drawn from, once per stream
        multiprocessing_context=context,
    )
    batches = iter(loader)
    try:
        for loaded in _until_a_worker_dies(batches):
            if isinstance(loaded, _Failure):
                raise DataError(loaded.sentence)
            yield tuple(part.to(device, non_blocking=True) for part in loaded)
    finally:
        # what torch does when the iterator is collected, but now: nothing outlives the stream
        batches._shutdown_workers()  # type: ignore[attr-defined]


def _until_a_worker_dies(batches: Iterator[Any]) -> Iterator[Any]:
    while True:
        try:
            loaded = next(batches)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as error:
            # torch has noticed, or we were being handed a batch when it died
            if str(error).startswith("Caught "):  # by torch, from `load`: a bug of ours
                raise
            raise DataError(
                "a process that loads data has died, of too little memory perhaps (also shared "
                "memory: /dev/shm); fewer threads_per_cell or a smaller batch size need less"
            ) from error
        yield loaded


def _end_with_asker(_: int) -> None:
    """Leave when the process that asked ends. torch waits for the fork server's end instead,
    which never comes, since that one waits for ours."""
    asker = multiprocessing.parent_process()
    assert asker is not None, "a worker has a parent"

    def watch() -> None:
        asker.join()
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


@dataclass(frozen=True)
class _Failure:
    """What a worker says instead of a batch: exceptions would come back with a traceback."""

    sentence: str


class _Loads(Dataset[Any]):
    """`load` as torch's workers call it."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def __getitem__(self, packed: Any) -> Batch | _Failure:
        try:
            return self._load(_unpacked(packed))
        except DataError as error:
            return _Failure(str(error))


class _Packed:
    """Requests as NumPy arrays: sent as they are, where tensors would each open shared memory."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[Any]:
        for request in self._requests:
            draw = request.draw
            yield (
                request.indices.numpy(),
                draw and (draw.seed, draw.size, draw.places.numpy()),
            )


def _unpacked(packed: Any) -> Request:
    indices, draw = packed
    if draw is not None:
        seed, size, places = draw
        draw = Draw(seed, size, torch.from_numpy(places))
    return Request(torch.from_numpy(indices), draw)


def _unchanged(loaded: Batch | _Failure) -> Batch | _Failure:
    return loaded
