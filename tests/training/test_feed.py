"""What an update trains on: from any update on, for any number of ranks and micro-batches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterable
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor

from robustlr.errors import SpecError
from robustlr.schedules import Fixed
from robustlr.specs import SGD, Cell, TrainingSpec, WorkloadSpec
from robustlr.training import train
from robustlr.training.feed import Feed
from robustlr.workloads import Batch, Request, TensorExamples, build_workload
from tests.workloads.datasets_on_disk import write_imagefolder


def cell(batch_size: int = 12, accumulation_steps: int = 1, seed: int = 3) -> Cell:
    return Cell(
        workload=WorkloadSpec(kind="digits_mlp"),
        optimizer=SGD(),
        schedule=Fixed(),
        batch_size=batch_size,
        num_steps=10,
        lr_exponent="-1",
        seed=seed,
        training=TrainingSpec(accumulation_steps=accumulation_steps),
    )


class Noisy:
    """Examples whose training batches carry the numbers drawn for them; counts what is open."""

    def __init__(self) -> None:
        self.open = 0

    def __len__(self) -> int:
        return 50

    def batch(self, indices: Tensor) -> Batch:
        return (indices,)

    def to(self, device: torch.device) -> Noisy:
        return self

    def stream(self, requests: Iterable[Request]) -> Generator[Batch, None, None]:
        self.open += 1
        try:
            for request in requests:
                assert request.draw is not None
                yield request.indices, request.draw.uniform(2)
        finally:
            self.open -= 1


def updates(feed: Feed, number: int) -> list[list[Batch]]:
    return [feed.update() for _ in range(number)]


def test_a_feed_started_later_goes_on_where_the_other_would() -> None:
    whole = updates(Feed(Noisy(), cell()), 12)
    for start in (1, 4, 11):
        rest = updates(Feed(Noisy(), cell(), start=start), 12 - start)
        for mine, other in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine[0], other[0], strict=True))


@pytest.mark.parametrize(("steps", "ranks"), [(1, 2), (2, 1), (2, 3), (3, 2)])
def test_ranks_and_micro_batches_share_what_one_alone_sees(steps: int, ranks: int) -> None:
    alone = updates(Feed(Noisy(), cell()), 6)
    feeds = [
        Feed(Noisy(), cell(accumulation_steps=steps), rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    for (whole,) in alone:
        shares = [feed.update() for feed in feeds]
        assert all(len(share) == steps for share in shares)
        for part in (0, 1):  # indices, and the numbers drawn for them
            together = [shares[r][m][part] for m in range(steps) for r in range(ranks)]
            assert torch.equal(torch.cat(together), whole[part])


def test_numbers_differ_between_updates_and_seeds() -> None:
    drawn = [batch[1] for (batch,) in updates(Feed(Noisy(), cell()), 5)]
    drawn += [batch[1] for (batch,) in updates(Feed(Noisy(), cell(seed=4)), 5)]
    for first, second in itertools.combinations(drawn, 2):
        assert not torch.isin(first, second).any()


def test_closing_gives_back_what_the_stream_holds() -> None:
    examples = Noisy()
    feed = Feed(examples, cell())
    assert examples.open == 0, "nothing is held before the first update"
    feed.update()
    assert examples.open == 1
    feed.close()
    assert examples.open == 0


def test_examples_without_a_stream_need_nothing_more() -> None:
    examples = TensorExamples(torch.arange(20.0))
    feed = Feed(examples, cell(batch_size=10))
    first_pass = [batch[0] for (batch,) in updates(feed, 2)]
    assert torch.cat(first_pass).sort().values.tolist() == list(range(20))
    feed.close()


def test_a_batch_larger_than_the_data_is_refused_at_once() -> None:
    with pytest.raises(SpecError, match="batch_size 51 is larger than the 50 training examples"):
        Feed(Noisy(), cell(batch_size=51))


def test_a_run_on_photographs_is_the_same_twice_and_leaves_no_process(tmp_path: Path) -> None:
    options = {
        "path": str(write_imagefolder(tmp_path)), "classes": 3, "size": 8, "valid_share": 0.25,
        "network_options": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    }  # fmt: skip
    spec = WorkloadSpec(kind="imagenet", options=options)
    photographs = dataclasses.replace(cell(), workload=spec)
    before = psutil.Process().children(recursive=True)
    (_, first), (_, again) = (
        train(photographs, build_workload(photographs.workload)) for _ in range(2)
    )
    assert first.drop("wall_seconds").equals(again.drop("wall_seconds"))
    assert first["valid_loss"].n_unique() == 2
    new = [child for child in psutil.Process().children(recursive=True) if child not in before]
    # the fork server and the keeper of shared memory stay until this process ends
    assert all(child.parent() == psutil.Process() for child in new)
