"""The order of the data: every example once per pass, paired between cells."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustlr.errors import SpecError
from robustlr.training.order import BatchOrder, micro_batches, mixed_seed


def slow_batch(num_examples: int, batch_size: int, seed: int, step: int) -> list[int]:
    """The same batch, by walking through all passes from the start."""
    seen = 0
    for passes in range(step + 1):
        generator = torch.Generator().manual_seed(mixed_seed(seed, passes))
        shuffled = torch.randperm(num_examples, generator=generator).tolist()
        for start in range(0, num_examples - batch_size + 1, batch_size):
            if seen == step:
                return shuffled[start : start + batch_size]
            seen += 1
    raise AssertionError("unreachable")


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.data())
def test_equals_a_walk_through_all_passes(num_examples: int, data: st.DataObject) -> None:
    batch_size = data.draw(st.integers(1, num_examples))
    seed = data.draw(st.integers(0, 2**31 - 1))
    order = BatchOrder(num_examples, batch_size, seed)
    for step in data.draw(st.lists(st.integers(0, 50), max_size=8)):  # in any order
        expected = slow_batch(num_examples, batch_size, seed, step)
        assert order.batch(step).tolist() == expected


@pytest.mark.parametrize(("num_examples", "batch_size"), [(12, 4), (13, 4), (7, 7), (5, 1)])
def test_every_example_at_most_once_per_pass(num_examples: int, batch_size: int) -> None:
    order = BatchOrder(num_examples, batch_size, seed=0)
    per_pass = num_examples // batch_size
    for passes in range(5):
        steps = range(passes * per_pass, (passes + 1) * per_pass)
        drawn = torch.cat([order.batch(step) for step in steps]).tolist()
        assert len(set(drawn)) == len(drawn) == per_pass * batch_size
        if num_examples % batch_size == 0:
            assert sorted(drawn) == list(range(num_examples))


def test_no_example_is_left_out_for_good() -> None:
    order = BatchOrder(10, 4, seed=0)
    drawn = {int(index) for step in range(40) for index in order.batch(step)}
    assert drawn == set(range(10))


def test_passes_and_seeds_differ() -> None:
    order = BatchOrder(100, 100, seed=0)
    passes = {tuple(order.batch(step).tolist()) for step in range(20)}
    seeds = {tuple(BatchOrder(100, 100, seed).batch(0).tolist()) for seed in range(20)}
    assert len(passes) == len(seeds) == 20


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_shares_are_equal_and_make_up_the_batch(steps: int, ranks: int, each: int) -> None:
    indices = torch.randperm(steps * ranks * each, generator=torch.Generator().manual_seed(0))
    shares = [micro_batches(indices, steps, rank, ranks) for rank in range(ranks)]
    assert all(len(micro) == steps for micro in shares)
    assert {len(part) for micro in shares for part in micro} == {each}
    for step in range(steps):  # a micro-batch is the same set whatever the number of ranks
        together = torch.cat([shares[rank][step] for rank in range(ranks)])
        expected = indices[step * ranks * each : (step + 1) * ranks * each]
        assert torch.equal(together, expected)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(SpecError, match="batch_size 9 is larger than the 8"):
        BatchOrder(8, 9, seed=0)
