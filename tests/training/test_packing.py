"""What goes into a checkpoint comes out of it, or is refused by name."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from robustlr.training.packing import Packer, UnpackableError, Unpacker

LAST = torch.channels_last
CPU = torch.device("cpu")
plain = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


def round_trip(value: Any, weights: tuple[torch.Tensor, ...] = ()) -> Any:
    packer = Packer(weights)
    text = json.dumps(packer.pack(value))
    return Unpacker(packer.tensors, CPU, weights).unpack(json.loads(text))


@settings(max_examples=50, deadline=None)
@given(nested)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    assert repr(round_trip(value)) == repr(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0, 5e-324])
def test_numbers_come_back_to_the_bit(value: float) -> None:
    assert repr(round_trip(value)) == repr(value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.0),
        torch.empty(0, 2),
        torch.arange(6.0).reshape(2, 3).T,
        torch.tensor([True, False]),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.tensor([1.5], dtype=torch.bfloat16),
        torch.tensor([1.5], dtype=torch.float64),
    ],
    ids=lambda tensor: f"{list(tensor.shape)} {tensor.dtype}",
)
def test_tensors_come_back_to_the_bit(tensor: torch.Tensor) -> None:
    back = round_trip({"x": tensor})["x"]
    assert back.dtype == tensor.dtype
    assert torch.equal(back, tensor)


def test_a_tensor_that_occurs_twice_comes_back_as_one() -> None:
    tensor = torch.arange(3.0)
    first, (second,) = round_trip([tensor, (tensor,)])
    assert first is second


def test_parts_of_one_storage_are_kept_apart() -> None:
    whole = torch.arange(6.0)
    packer = Packer()
    packer.pack([whole, whole[2:], whole[:2]])
    assert len({tensor.untyped_storage().data_ptr() for tensor in packer.tensors.values()}) == 3


def test_a_weight_comes_back_as_itself() -> None:
    weight = nn.Parameter(torch.ones(2))
    back = round_trip([[weight, 1]], (weight,))
    assert back[0][0] is weight


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [1, {2: set()}]}, r"^a\[1\].2 is a set$"),
        (torch.complex(torch.ones(1), torch.ones(1)), "is a torch.complex64 tensor"),
        ({"a": torch.eye(2).to_sparse()}, "^a is a torch.float32 tensor"),
        ([object()], r"^\[0\] is a object$"),
        ({(1, 2): 3}, "is a dict"),
    ],
)
def test_what_cannot_be_kept_is_named(value: Any, told: str) -> None:
    with pytest.raises(UnpackableError, match=told):
        Packer().pack(value)


def test_other_mappings_become_dicts() -> None:
    assert round_trip(OrderedDict(a=1)) == {"a": 1}


def test_deques_and_keys_that_are_numbers_or_weights() -> None:
    back = round_trip({0.9: deque([1, 2, 3], maxlen=3)})
    assert back == {0.9: deque([1, 2, 3])}
    assert back[0.9].maxlen == 3
    weight = nn.Parameter(torch.ones(2))
    assert round_trip({weight: 4}, (weight,))[weight] == 4


def test_the_layout_in_memory_is_kept() -> None:
    for tensor in (torch.randn(3, 4).T, torch.randn(2, 3, 4, 5).to(memory_format=LAST)):
        back = round_trip(tensor)
        assert back.stride() == tensor.stride()
        assert torch.equal(back, tensor)
    assert torch.equal(round_trip(torch.ones(1).expand(3)), torch.ones(3))


def test_the_id_of_a_weight_is_no_number() -> None:
    weight = nn.Parameter(torch.ones(2))
    for value in ([id(weight)], {id(weight): 1}):
        with pytest.raises(UnpackableError, match="is a weight's id"):
            Packer([weight]).pack(value)
