"""Running out of memory, told from other errors."""

from __future__ import annotations

import torch

from robustlr.errors import one_line


def out_of_memory(error: BaseException) -> str | None:
    """A sentence where `error` says that there is no memory left; None for any other error.

    >>> out_of_memory(MemoryError("Unable to allocate 8 GiB"))
    'ran out of memory: Unable to allocate 8 GiB'
    >>> out_of_memory(ValueError("no")) is None
    True
    """
    host = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    if not host and not isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return None
    device = ""
    if isinstance(error, torch.OutOfMemoryError) and torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(torch.cuda.current_device())
        device = f" on {whole.name} ({whole.total_memory / 2**30:.0f} GiB)"
    what = one_line(str(error)).partition(" If reserved but")[0] or type(error).__name__
    return f"ran out of memory{device}: {what}"
