from __future__ import annotations

from collections import UserDict
from typing import NamedTuple

import pytest
import torch

from robustlr.curvature import leading_examples
from robustlr.errors import SpecError, WorkloadError


class Pair(NamedTuple):
    inputs: torch.Tensor
    labels: torch.Tensor


class Encoding(UserDict):  # type: ignore[type-arg]
    """As tokenizers return: a mapping that is no dict."""


@pytest.mark.parametrize(
    ("size", "fraction", "kept"),
    [(64, 0.125, 8), (64, 1.0, 64), (7, 0.5, 4), (8, 0.01, 1), (1, 0.5, 1), (3, 0.999, 3)],
)
def test_it_keeps_the_leading_share_and_at_least_one(size: int, fraction: float, kept: int) -> None:
    cut = leading_examples(torch.arange(size), fraction)
    assert cut.tolist() == list(range(kept))


def test_every_container_keeps_its_type_and_what_is_no_example() -> None:
    x, y = torch.arange(8.0), torch.arange(8)
    scalar, other = torch.tensor(3.0), torch.ones(5, 2)
    assert isinstance(leading_examples((x, y), 0.5), tuple)
    pair = leading_examples(Pair(x, y), 0.5)
    assert isinstance(pair, Pair)
    assert pair.labels.tolist() == [0, 1, 2, 3]
    listed = leading_examples([x, scalar, other, "text", None], 0.5)
    assert isinstance(listed, list)
    assert [len(listed[0]), listed[1], listed[3], listed[4]] == [4, scalar, "text", None]
    assert listed[2] is other
    encoding = Encoding({"ids": y, "nested": {"mask": x}})
    cut = leading_examples(encoding, 0.25)
    assert isinstance(cut, Encoding)
    assert cut["ids"].tolist() == [0, 1]
    assert cut["nested"]["mask"].tolist() == [0.0, 1.0]
    assert len(encoding["ids"]) == 8  # the user's own batch is whole


def test_the_cut_is_a_view() -> None:
    x = torch.arange(8)
    assert leading_examples(x, 0.5).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
def test_a_sub_batch_of_nothing_is_refused(fraction: float) -> None:
    with pytest.raises(SpecError, match=r"batch_fraction must be in \(0, 1\]"):
        leading_examples(torch.arange(8), fraction)


def test_a_batch_without_examples_is_refused() -> None:
    with pytest.raises(WorkloadError, match="no examples"):
        leading_examples(torch.empty(0, 3), 0.5)
    with pytest.raises(WorkloadError, match="holds no tensor"):
        leading_examples({"text": ["a", "b"]}, 0.5)
