"""The random state of a rank as one row of bytes: torch's, its GPU's, numpy's and Python's."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustlr.training.setting import seed_torch

_KEYS = 624  # words of a Mersenne twister


def capture(device: torch.device) -> Tensor:
    """The state of every global generator, uint8, of one length for all ranks of a group."""
    parts = [torch.get_rng_state()]
    if device.type == "cuda":
        parts.append(torch.cuda.get_rng_state(device))
    twister: Any = np.random.get_state(legacy=True)
    _, keys, position, has_gauss, gauss = twister
    _, words, python_gauss = random.getstate()
    whole = np.array([*keys, position, has_gauss, *words], dtype=np.int64)
    real = np.array([gauss, math.nan if python_gauss is None else python_gauss])
    return torch.cat([*parts, *(torch.from_numpy(part.view(np.uint8)) for part in (whole, real))])


def restore(state: Tensor, device: torch.device) -> None:
    """Put the state of `capture` back."""
    sizes = [len(torch.get_rng_state())]
    if device.type == "cuda":
        sizes.append(len(torch.cuda.get_rng_state(device)))
    sizes += [8 * (_KEYS + 2 + _KEYS + 1), 8 * 2]
    *torch_states, whole, real = torch.split(state.cpu(), sizes)
    torch.set_rng_state(torch_states[0].clone())
    if device.type == "cuda":
        torch.cuda.set_rng_state(torch_states[1].clone(), device)
    numbers = np.frombuffer(whole.numpy().tobytes(), np.int64)
    keys, (position, has_gauss) = numbers[:_KEYS].astype(np.uint32), numbers[_KEYS : _KEYS + 2]
    gauss, python_gauss = np.frombuffer(real.numpy().tobytes(), np.float64).tolist()
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
    words = tuple(numbers[_KEYS + 2 :].tolist())
    random.setstate((3, words, None if math.isnan(python_gauss) else python_gauss))


@contextmanager
def begun_at(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, every global generator begins at `seed`; afterwards each goes on where it was."""
    kept = capture(device)
    seed_torch(seed, device)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        restore(kept, device)
