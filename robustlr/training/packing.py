"""Nested values as JSON and tensors, and back: what a checkpoint can hold without a pickle.

What can be packed: None, bool, int, float, str, dense tensors, and lists, tuples, deques and dicts
of these. A tensor that occurs twice is kept once and comes back as one, with its layout in memory
(sums would round otherwise in another one); a weight of the model comes back as the weight itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

_PLAIN = (bool, int, float, str)


class UnpackableError(Exception):
    """A value that is neither plain nor a dense tensor; its text says which and where."""


class Packer:
    """Gathers the tensors of the values it packs. weights: known when unpacking."""

    def __init__(self, weights: Iterable[Tensor] = ()) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._weights = {id(weight): index for index, weight in enumerate(weights)}
        self._names: dict[tuple[Any, ...], str] = {}
        self._storages: set[int] = set()

    def pack(self, value: Any, where: str = "") -> Any:
        """JSON-ready; its tensors are in `tensors`. Raises UnpackableError."""
        if type(value) is int and value in self._weights:
            raise UnpackableError(f"{where or 'a value'} is a weight's id, which does not last")
        if value is None or isinstance(value, _PLAIN):
            return value
        if isinstance(value, Tensor):
            index = self._weights.get(id(value))
            return self._tensor(value, where) if index is None else {"weight": index}
        if type(value) is list:
            return [self.pack(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if type(value) in (tuple, torch.Size):
            return {"tuple": self.pack(list(value), where)}
        if type(value) is deque:
            return {"deque": self.pack(list(value), where), "longest": value.maxlen}
        if isinstance(value, Mapping) and all(map(self._is_key, value)):
            inside = f"{where}." if where else ""
            return {
                "dict": [
                    [self.pack(key, where), self.pack(item, f"{inside}{_name(key)}")]
                    for key, item in value.items()
                ]
            }
        raise UnpackableError(f"{where or 'a value'} is a {type(value).__name__}")

    def _is_key(self, key: Any) -> bool:
        return isinstance(key, _PLAIN) or id(key) in self._weights

    def _tensor(self, tensor: Tensor, where: str) -> dict[str, Any]:
        if isinstance(tensor, DTensor):
            raise UnpackableError(f"{where or 'a value'} is cut over the ranks (FSDP)")
        plain = type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer)
        if not plain or tensor.layout is not torch.strided or tensor.is_complex():
            kind = type(tensor).__name__ if not plain else f"{tensor.dtype} tensor"
            raise UnpackableError(f"{where or 'a value'} is a {kind}")
        same = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if same not in self._names or not tensor.numel():
            name = self._names[same] = f"t{len(self.tensors)}"
            host, storage = tensor.detach().cpu().contiguous(), tensor.untyped_storage().data_ptr()
            # a part of a storage that is kept already
            self.tensors[name] = host.clone() if storage in self._storages else host
            self._storages.add(storage)
        packed = {"tensor": self._names[same], "host": tensor.device.type == "cpu"}
        if tensor.is_contiguous() or 0 in tensor.stride():
            return packed
        return {**packed, "stride": list(tensor.stride())}


def _name(key: Any) -> str:
    return "weight" if isinstance(key, Tensor) else str(key)


class Unpacker:
    """The inverse. tensors: of the packer. device: where those that were not on the host go."""

    def __init__(
        self, tensors: Mapping[str, Tensor], device: torch.device, weights: Iterable[Tensor] = ()
    ) -> None:
        self._tensors, self._device, self._weights = tensors, device, list(weights)
        self._moved: dict[str, Tensor] = {}

    def unpack(self, packed: Any) -> Any:
        """The value that was packed."""
        if isinstance(packed, list):
            return [self.unpack(item) for item in packed]
        if not isinstance(packed, dict):
            return packed
        if "weight" in packed:
            return self._weights[packed["weight"]]
        if "tuple" in packed:
            return tuple(self.unpack(packed["tuple"]))
        if "deque" in packed:
            return deque(self.unpack(packed["deque"]), packed["longest"])
        if "dict" in packed:
            return {self.unpack(key): self.unpack(item) for key, item in packed["dict"]}
        name = packed["tensor"]
        if name not in self._moved:
            tensor = self._tensors[name]
            if "stride" in packed:
                laid_out = torch.empty_strided(tensor.shape, packed["stride"], dtype=tensor.dtype)
                tensor = laid_out.copy_(tensor)
            self._moved[name] = tensor if packed["host"] else tensor.to(self._device)
        return self._moved[name]
